"""Decides what callers can do with transfers between lines."""

from datetime import datetime
from uuid import UUID

from fastapi import APIRouter
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.answers import listed, of_row, read_row
from chassis.db import Now, Reading, Session, add_row, workspace_of
from chassis.editing import IfMatch, held
from chassis.errors import Invalid
from chassis.fields import Money
from chassis.idempotency import IdempotentRoute
from chassis.identity import CurrentPrincipal, scope
from chassis.listing import Fields, Listing, Parent, fields_of, listing
from chassis.outbox import record
from chassis.paging import Groups, Page
from services.budget.ledger import actions as ledger
from services.budget.ledger.rules import Amounts, EntryKind, Leg, Original, assert_positive
from services.budget.plan import store as plan
from services.budget.rate import store as rates
from services.budget.transfer.models import Transfer, TransferCreate, TransferDecided, TransferRead
from services.budget.transfer.rules import TransferState, assert_may_decide

router = APIRouter(route_class=IdempotentRoute, tags=["transfers"])

AMOUNT = of_row(lambda transfer: Money.of_minor(transfer.amount, transfer.currency))


def _read(transfer: Transfer) -> TransferRead:
    return TransferRead.of(transfer, amount=Money.of_minor(transfer.amount, transfer.currency))


@router.post("/v1/transfers", status_code=201, dependencies=[scope("budget:write")])
async def create_transfer(create: TransferCreate, session: Session, who: CurrentPrincipal, now: Now) -> TransferRead:
    """Proposes to move money to another line; nothing moves before somebody else approves."""
    for name in ("from_line_id", "to_line_id"):
        if not await plan.is_line(session, getattr(create, name)):
            raise Invalid.field(name, f"no line {getattr(create, name)}", "unknown")
    if create.from_line_id == create.to_line_id:
        raise Invalid.field("to_line_id", "must be another line", "the_same")
    source = await plan.get_line(session, create.from_line_id)
    if create.amount.currency != source.currency:
        raise Invalid.field("amount.currency", f"the line is in {source.currency}", "not_the_lines")
    assert_positive(create.amount.minor)
    row = create.model_dump(exclude={"amount"}) | {
        "workspace_id": workspace_of(session), "amount": create.amount.minor, "currency": create.amount.currency,
        "proposed_by": who.subject, "created_at": now,
    }  # fmt: skip
    transfer = Transfer.model_validate(row)
    await add_row(session, transfer)
    return _read(transfer)


@router.post("/v1/transfers/{id}/approve", dependencies=[scope("budget:approve")])
async def approve_transfer(
    id: UUID, if_match: IfMatch, session: Session, who: CurrentPrincipal, now: Now
) -> TransferRead:
    """Moves the money, at today's rate between two currencies. 403 `four_eyes` on one's own; 409 `does_not_fit`, with
    the numbers, when a `stop` line doesn't have it."""
    transfer = await held(session, Transfer, id, if_match)
    assert_may_decide(transfer.state, transfer.proposed_by, who.subject)
    target = await plan.get_line(session, transfer.to_line_id)
    day = await ledger.today_of(session, now)
    rate = await rates.rate_of(session, transfer.currency, target.currency, day)
    transfer.state, transfer.decided_by, transfer.decided_at = TransferState.APPROVED, who.subject, now
    transfer.rate, transfer.rate_on = rate.value, rate.day
    await session.flush()
    legs = [
        Leg(
            line_id, Amounts(transferred=sign * minor),
            Original(sign * transfer.amount, transfer.currency, rate.value, rate.day),
        )
        for line_id, sign, minor in (
            (transfer.from_line_id, -1, transfer.amount), (transfer.to_line_id, 1, rate.of(transfer.amount))
        )
    ]  # fmt: skip
    await ledger.move(
        session, EntryKind.TRANSFER, legs, who=who.subject, now=now, reason=transfer.reason, subject_id=id
    )
    await _tell(session, transfer, now)
    return _read(transfer)


async def _tell(session: AsyncSession, transfer: Transfer, now: datetime) -> None:
    decided = TransferDecided(
        transfer_id=transfer.id, from_line_id=transfer.from_line_id, to_line_id=transfer.to_line_id,
        amount=Money.of_minor(transfer.amount, transfer.currency), state=transfer.state,
    )  # fmt: skip
    await record(session, decided, transfer.id, now)


@router.post("/v1/transfers/{id}/reject", dependencies=[scope("budget:approve")])
async def reject_transfer(
    id: UUID, if_match: IfMatch, session: Session, who: CurrentPrincipal, now: Now
) -> TransferRead:
    """Says no to it."""
    transfer = await held(session, Transfer, id, if_match)
    assert_may_decide(transfer.state, transfer.proposed_by, who.subject)
    transfer.state, transfer.decided_by, transfer.decided_at = TransferState.REJECTED, who.subject, now
    await session.flush()
    await _tell(session, transfer, now)
    return _read(transfer)


@router.get("/v1/transfers/{id}", dependencies=[scope("budget:read")])
async def get_transfer(id: UUID, reading: Reading, fields: Fields = fields_of(TransferRead)) -> TransferRead:
    """One transfer."""
    return await read_row(reading, Transfer, id, TransferRead, fields, amount=AMOUNT)


@router.get("/v1/transfers", dependencies=[scope("budget:read")])
async def list_transfers(
    reading: Reading,
    asked: Listing[TransferRead] = listing(
        Transfer, TransferRead, sort=("created_at",), by=("state", "created_at"),
        parents={"from_line_id": Parent(Transfer.from_line_id), "to_line_id": Parent(Transfer.to_line_id)},
    ),
) -> Page[TransferRead] | Groups[TransferRead]:  # fmt: skip
    """Transfers that fit every filter, the oldest first unless sorted otherwise."""
    return await listed(reading, asked, amount=AMOUNT)
