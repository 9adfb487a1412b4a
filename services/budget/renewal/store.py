"""Decides how what was decided of a renewal is kept: beside what was known of the seats, and for good."""

from datetime import date, datetime

from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import workspace_of
from services.budget.contract.models import Contract
from services.budget.contract.rules import ContractState
from services.budget.renewal.models import ContractDecision
from services.budget.seat import store as seats
from services.budget.seat.rules import IDLE_DAYS


async def keep_decision(session: AsyncSession, contract: Contract, today: date, now: datetime) -> None:
    """Adds what a contract now says was decided."""
    waste = await seats.waste_of(session, [contract.id], IDLE_DAYS, today)
    found = waste.get(contract.id)
    renews = contract.state is ContractState.RENEWED
    session.add(
        ContractDecision.model_validate(
            {
                "workspace_id": workspace_of(session), "contract_id": contract.id, "kind": contract.decision,
                "by_default": contract.by_default, "reason": contract.decision_reason,
                "decided_by": contract.decided_by, "decided_at": now,
                "term_start": contract.term_start, "term_end": contract.term_end, "currency": contract.currency,
                "cost_minor": contract.cost_minor, "next_minor": contract.renewing_minor if renews else None,
                "idle_seats": found.idle + found.unassigned if found else None,
                "wasted_minor": found.wasted_monthly if found else None,
            }
        )
    )  # fmt: skip
    await session.flush()
