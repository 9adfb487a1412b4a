"""Decides how the cost of an undecided renewal is kept free on its line: all of it, or nothing and what is lacking.

The one place where contracts touch the ledger.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from chassis.fields import Money
from services.budget.contract.models import Contract
from services.budget.contract.rules import holds_money
from services.budget.ledger import store as ledger
from services.budget.ledger.actions import release, reserve
from services.budget.plan import store as plan
from services.budget.plan.rules import LinePolicy


async def settle_hold(session: AsyncSession, contract: Contract, who: str, now: datetime) -> None:
    """Brings what is reserved for a contract to what should be, now that it may have been decided or edited; the
    contract is held by this transaction."""
    holds = holds_money(contract.state, by_default=contract.by_default)
    line_id = contract.line_id if holds and contract.renewing_minor else None
    wanted = contract.renewing_minor if line_id else 0
    if (contract.held_line_id, contract.held_minor) != (line_id, wanted):
        # Holds before lines, as everywhere.
        held = await ledger.holds_of(session, contract.id)
        for each in sorted({contract.held_line_id, line_id} - {None}, key=str):
            # One order for all, or two that change places between two lines would wait for each other.
            await ledger.lock_balance(session, each)  # type: ignore[arg-type]  # None is taken away
        if contract.held_line_id is not None:
            for hold in held:
                # A cancelled campaign's lines were released as a whole: what is gone isn't released again.
                await release(session, hold, who=who, now=now, reason=f"renewal of {contract.name}: {contract.state}")
            contract.held_line_id, contract.held_minor = None, 0
        lacks = await _hold(session, line_id, wanted, contract, who, now) if line_id else 0
        contract.short_minor = lacks or None
        if line_id and not lacks:
            contract.held_line_id, contract.held_minor = line_id, wanted
    await session.flush()


async def _hold(session: AsyncSession, line_id: UUID, minor: int, contract: Contract, who: str, now: datetime) -> int:
    """Reserves an amount; what a line that stops lacks to hold it, and then nothing is reserved."""
    line = await plan.get_line(session, line_id)
    lacks = minor - (await ledger.standing(session, line_id)).balance.available
    if line.policy is LinePolicy.STOP and lacks > 0:
        return lacks
    amount, reason = Money.of_minor(minor, line.currency), f"undecided renewal of {contract.name}"
    await reserve(session, line_id, amount, contract.id, who=who, now=now, reason=reason)
    return 0
