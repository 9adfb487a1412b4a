"""Decides what posting an invoice does, and that it is done once: an order becomes actual spending, at the rate of the
invoice's day; what doesn't go through becomes an exception, and moves nothing."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import get_row
from chassis.errors import Conflict
from chassis.fields import Money
from chassis.outbox import record
from services.budget.invoice.models import Invoice, InvoiceExcepted, InvoicePosted
from services.budget.invoice.rules import Bill, InvoiceProblem, InvoiceState, Order, drawn, problem_of
from services.budget.ledger import actions as ledger
from services.budget.ledger import store as ledger_store
from services.budget.ledger.models import Hold
from services.budget.ledger.rules import OPEN, Amounts, DoesNotFit, EntryKind, HoldState, Leg, Original, share
from services.budget.plan import store as plan
from services.budget.plan.models import Line
from services.budget.policy.models import Matching
from services.budget.policy.store import policy_of
from services.budget.rate import store as rates
from services.budget.request import store as requests
from services.budget.request.actions import note_invoiced
from services.budget.request.models import SpendRequest
from services.budget.request.rules import ORDERED, RequestState, allowed


async def match(session: AsyncSession, invoice: Invoice, now: datetime) -> None:
    """Holds an invoice against its order, which it finds by vendor and line where none is named; so that an order and
    its invoice are counted once even where nobody connects them."""
    problem = None
    if invoice.request_id is None and invoice.vendor:
        found = await requests.orders_of(session, invoice.line_id, invoice.vendor)
        if len(found) == 1:
            invoice.request_id = found[0]
        elif found and InvoiceProblem.SEVERAL_ORDERS not in invoice.accepted:
            problem = InvoiceProblem.SEVERAL_ORDERS
    if invoice.request_id is not None:
        problem = await _problem(session, invoice)
    if problem:
        await _except(session, invoice, problem, invoice.problem, now)
        return
    invoice.problem = None
    invoice.state = InvoiceState.MATCHED if invoice.request_id else InvoiceState.RECEIVED
    await session.flush()


async def _except(
    session: AsyncSession, invoice: Invoice, problem: InvoiceProblem, known: InvoiceProblem | None, now: datetime
) -> None:
    """Lets it wait for somebody, and tells so unless that is known."""
    invoice.state, invoice.problem = InvoiceState.EXCEPTION, problem
    await session.flush()
    if problem != known:
        told = InvoiceExcepted(
            invoice_id=invoice.id, request_id=invoice.request_id, line_id=invoice.line_id, problem=problem
        )
        await record(session, told, invoice.id, now)


async def _problem(session: AsyncSession, invoice: Invoice) -> InvoiceProblem | None:
    if invoice.request_id is None:
        return None
    request = await get_row(session, SpendRequest, invoice.request_id, lock=True)
    policy = await policy_of(session)
    most = allowed(request.amount, policy.tolerance_percent)
    order = Order(
        vendor=request.vendor or "", currency=request.currency, open=request.state in ORDERED,
        on_line=await _hold_of(session, invoice) is not None, most=most, invoiced=request.invoiced,
        received=request.received if policy.matching is Matching.THREE_WAY else None,
        tolerance=most - request.amount,
    )  # fmt: skip
    return problem_of(Bill(invoice.vendor, invoice.currency, invoice.amount, invoice.dated), order, invoice.accepted)


async def _hold_of(session: AsyncSession, invoice: Invoice) -> Hold | None:
    """What is committed on the invoice's line for its order: the largest, where there are several."""
    if invoice.request_id is None:
        return None
    return _largest(await ledger_store.holds_of(session, invoice.request_id), invoice.line_id)


def _largest(held: Sequence[Hold], line_id: UUID) -> Hold | None:
    of_line = [hold for hold in held if hold.line_id == line_id]
    return max(of_line, key=lambda hold: (hold.state in OPEN, hold.original), default=None)


async def post(session: AsyncSession, invoice: Invoice, who: str, now: datetime) -> None:
    """Posts what matches, but for what was let pass; otherwise it is an exception afterwards, with its reason."""
    known = invoice.problem
    await match(session, invoice, now)
    if invoice.problem:
        return
    try:
        # What is refused half way leaves nothing behind.
        async with session.begin_nested():
            invoice.spent, invoice.worth, invoice.covered = await _spend(session, invoice, who, now)
    except DoesNotFit:
        problem = InvoiceProblem.DOES_NOT_FIT
    except Conflict as refused:
        if refused.code not in (InvoiceProblem.PERIOD_CLOSED, InvoiceProblem.NO_RATE):
            raise
        problem = InvoiceProblem(refused.code)
    else:
        invoice.state, invoice.problem, invoice.posted_by, invoice.posted_at = InvoiceState.POSTED, None, who, now
        await session.flush()
        if invoice.request_id is not None:
            request = await get_row(session, SpendRequest, invoice.request_id, lock=True)
            await note_invoiced(session, request, invoice.amount, who, now)
        told = InvoicePosted(
            invoice_id=invoice.id, request_id=invoice.request_id, line_id=invoice.line_id,
            amount=Money.of_minor(invoice.amount, invoice.currency),
        )  # fmt: skip
        await record(session, told, invoice.id, now)
        return
    await session.refresh(invoice)
    await _except(session, invoice, problem, known, now)


async def _spend(session: AsyncSession, invoice: Invoice, who: str, now: datetime) -> tuple[int, int, int]:
    """What its own line took of it, what of that out of what was committed there, and for how much of the invoice."""
    hold = await _hold_of(session, invoice)
    others = await _elsewhere(session, invoice)
    line = await plan.get_line(session, invoice.line_id)
    await _lock(session, line, others, foreign=hold is not None and invoice.currency != line.currency)
    left = hold.original if hold is not None and hold.state is HoldState.COMMITTED else 0
    slack = await _slack(session, invoice) if others else 0
    own, *parts = drawn(invoice.amount, left, [each.original for each in others], slack)
    common: dict[str, Any] = {"who": who, "now": now, "booked_on": invoice.dated, "subject_id": invoice.id}
    for each, part in zip(others, parts, strict=True):
        if part:
            currency = (await plan.get_line(session, each.line_id)).currency
            rate = await rates.rate_of(session, invoice.currency, currency, invoice.dated)
            await ledger.spend(session, each, part, rate, reason=invoice.number, **common)
    if not own:
        return 0, 0, 0
    rate = await rates.rate_of(session, invoice.currency, line.currency, invoice.dated)
    if hold is not None and hold.state is HoldState.COMMITTED:
        covered = min(own, hold.original)
        await _cover(session, hold, covered, rate.of(covered), invoice.number, common)
        spent, worth = await ledger.spend(session, hold, own, rate, reason=invoice.number, **common)
        return spent, worth, covered
    spent = rate.of(own)
    # What comes after all of an order's money on the line was spent is more than the order was for.
    change = Amounts(actual=spent, price=spent if hold is not None else 0)
    leg = Leg(line.id, change, Original(own, invoice.currency, rate.value, rate.day))
    await ledger.move(session, EntryKind.ACTUAL, [leg], reason=invoice.number, **common)
    return spent, 0, 0


async def _lock(session: AsyncSession, line: Line, others: Sequence[Hold], *, foreign: bool) -> None:
    """Locks all lines that it may take money of, in the order in which everybody does: of an order in another currency
    also the one that pays for what rates take."""
    lines = {line.id, *(each.line_id for each in others)}
    if foreign and (reserve := (await policy_of(session)).reserve_line_id):
        lines.add(reserve)
    if len(lines) > 1:
        await ledger_store.lock_lines(session, lines)


async def _elsewhere(session: AsyncSession, invoice: Invoice) -> list[Hold]:
    """What is still committed for its order on other lines, in the order in which these are locked."""
    if invoice.request_id is None:
        return []
    held = await ledger_store.holds_of(session, invoice.request_id)
    return [each for each in held if each.line_id != invoice.line_id and each.state is HoldState.COMMITTED]


async def _slack(session: AsyncSession, invoice: Invoice) -> int:
    """How much more than what was ordered of its own line may be invoiced of it."""
    assert invoice.request_id is not None  # noqa: S101  # it has an order, of which something is on another line
    items = await requests.items_of(session, [invoice.request_id])
    ordered: int = sum(item.amount for item in items if item.line_id == invoice.line_id)
    return allowed(ordered, (await policy_of(session)).tolerance_percent) - ordered


async def _cover(
    session: AsyncSession, hold: Hold, covered: int, worth: int, number: str, common: dict[str, Any]
) -> None:
    """What a rate takes more than a `stop` line has comes from the line that is set aside for it, if there is one."""
    reserve = (await policy_of(session)).reserve_line_id
    if reserve is None or reserve == hold.line_id:
        return
    pinned = share(hold.amount, hold.original, covered)
    found = await ledger_store.standing(session, hold.line_id)
    missing = (worth - pinned) - max(0, found.balance.available)
    if not found.stops or worth <= pinned or missing <= 0:
        return
    line, source = await plan.get_line(session, hold.line_id), await plan.get_line(session, reserve)
    if line.currency != source.currency:
        return
    legs = [
        Leg(
            each,
            Amounts(transferred=sign * missing),
            Original(sign * missing, line.currency, Decimal(1), common["booked_on"]),
        )
        for each, sign in ((reserve, -1), (hold.line_id, 1))
    ]
    await ledger.move(session, EntryKind.TRANSFER, legs, reason=f"exchange rates, {number}", **common)


async def reverse(session: AsyncSession, invoice: Invoice, who: str, now: datetime, reason: str) -> None:
    """Takes a posted invoice back by entries of today. What it took of an open order is committed again."""
    request, held = None, []
    if invoice.request_id is not None:
        request = await get_row(session, SpendRequest, invoice.request_id, lock=True)
        held = await ledger_store.holds_of(session, request.id)
    entries = await ledger_store.actuals_of(session, invoice.id)
    await ledger_store.lock_lines(session, [entry.line_id for entry in entries])
    common: dict[str, Any] = {"who": who, "now": now, "subject_id": invoice.id, "reason": reason}
    # One that was closed by hand stays so.
    reopens = request is not None and (
        request.state in ORDERED or (request.state is RequestState.CLOSED and request.invoiced >= request.amount)
    )
    for entry in entries:
        change, original = -ledger_store.change_of(entry), ledger_store.original_of(entry, -1)
        covered = invoice.covered if entry.line_id == invoice.line_id else entry.original_minor or 0
        hold = _largest(held, entry.line_id)
        if hold is not None and covered and reopens:
            leg = Leg(entry.line_id, change, original)
            await ledger.take_back(session, hold, covered, change.committed, leg, **common)
        else:
            change = Amounts(actual=change.actual, price=change.price)
            await ledger.move(session, EntryKind.REVERSE, [Leg(entry.line_id, change, original)], **common)
    invoice.state, invoice.reason, invoice.ended_at = InvoiceState.REVERSED, reason, now
    await session.flush()
    if request is not None:
        await note_invoiced(session, request, -invoice.amount, who, now, reopens=reopens)
