"""Decides what callers can do with a line's money, and how they read what became of it."""

from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query

from chassis.answers import listed, page_of
from chassis.db import Now, Reading, Session
from chassis.errors import Conflict
from chassis.fields import UtcDatetime
from chassis.idempotency import IdempotentRoute
from chassis.identity import CurrentPrincipal, scope
from chassis.listing import Fields, Listing, Parent, fields_of, listing
from chassis.paging import MOST, Groups, Page
from services.budget.ledger import store
from services.budget.ledger.actions import move, today_of
from services.budget.ledger.checking import check
from services.budget.ledger.conversion import campaign_positions
from services.budget.ledger.models import (
    AllotmentCreate,
    Entry,
    EntryRead,
    LedgerCheck,
    LinePosition,
    Position,
    PositionOfCampaign,
    PositionOfLine,
    PositionProblem,
    ReversalCreate,
)
from services.budget.ledger.rules import Amounts, EntryKind, Leg, MixedCurrencies, Original, allotment
from services.budget.plan import store as plan

router = APIRouter(route_class=IdempotentRoute, tags=["positions"])

Wanted = Annotated[list[UUID], Query(min_length=1, max_length=MOST, description=f"Up to {MOST}, repeated.")]


@router.post("/v1/lines/{id}/allot", dependencies=[scope("budget:approve")])
async def allot_line(
    id: UUID, create: AllotmentCreate, session: Session, who: CurrentPrincipal, now: Now
) -> LinePosition:
    """Sets money aside on a line, for good: an entry is never changed. Below another line it comes out of what that one
    has available, so that no line promises more than it holds: 409 `does_not_fit` with the numbers when a `stop` line
    has less. Answers with the position after it."""
    line = await plan.get_line(session, id)
    change = allotment(create.amount.minor, create.amount.currency, line.currency)
    legs = [Leg(id, change)]
    if line.parent_id is not None:
        minor, today = create.amount.minor, await today_of(session, now)
        legs = [
            Leg(each, Amounts(transferred=sign * minor), Original(sign * minor, line.currency, Decimal(1), today))
            for each, sign in ((line.parent_id, -1), (id, 1))
        ]
    after = await move(session, EntryKind.ALLOT, legs, who=who.subject, now=now, reason=create.reason)
    return LinePosition.of_amounts(after[id], line.currency, line_id=id)


@router.get("/v1/lines/{id}/position", dependencies=[scope("budget:read")])
async def get_line_position(
    id: UUID,
    reading: Reading,
    as_of: Annotated[
        UtcDatetime | None,
        Query(
            description="What was recorded up to this instant, it included; default: all.",
            examples=["2026-03-01T12:00:00Z"],
        ),
    ] = None,
    fields: Fields = fields_of(LinePosition),
) -> LinePosition:
    """A line's position, now or at any instant of its past."""
    currency, amounts = await store.line_balance(reading, id)
    if as_of is not None:
        amounts = await store.balance_at(reading, id, as_of)
    return LinePosition.of_amounts(amounts, currency, line_id=id, only=fields)


@router.get("/v1/line-positions", dependencies=[scope("budget:read")])
async def list_line_positions(
    line_id: Wanted, reading: Reading, fields: Fields = fields_of(PositionOfLine)
) -> Page[PositionOfLine]:
    """Positions of many lines, each in its own currency, in the order asked for. Lines that don't exist are left
    out."""
    found = await store.line_balances(reading, line_id)
    items = [
        PositionOfLine.of(None, only=fields, line_id=key, position=Position.of_amounts(amounts, currency))
        for key, currency, amounts in found
    ]
    return page_of(PositionOfLine, items)


@router.get("/v1/positions", dependencies=[scope("budget:read")])
async def list_campaign_positions(
    campaign_id: Wanted, reading: Reading, now: Now, fields: Fields = fields_of(PositionOfCampaign)
) -> Page[PositionOfCampaign]:
    """Positions of many campaigns, in the order asked for: each the sum over all lines that carry it, children counted
    like any other, in the workspace's reporting currency. What is in another currency is converted at the last rate
    known today, once for each account of the sum. A campaign that no line carries has zeros, whether or not it
    exists."""
    reporting, found = await campaign_positions(reading, campaign_id, now)
    items = []
    for key, decided in found.items():
        if isinstance(decided, MixedCurrencies):
            found_out: dict[str, Any] = {"position": None, "problem": PositionProblem.of(decided)}
        else:
            found_out = {"position": Position.of_amounts(decided, reporting), "problem": None}
        items.append(PositionOfCampaign.of(None, only=fields, campaign_id=key, **found_out))
    return page_of(PositionOfCampaign, items)


@router.get("/v1/entries", dependencies=[scope("budget:read")])
async def list_entries(
    reading: Reading,
    asked: Listing[EntryRead] = listing(
        Entry,
        EntryRead,
        sort=("recorded_at",),
        by=("kind", "recorded_at"),
        parents={
            "line_id": Parent(Entry.line_id),
            "subject_id": Parent(Entry.subject_id),
        },
    ),
) -> Page[EntryRead] | Groups[EntryRead]:
    """Entries of the ledger, the oldest first unless sorted otherwise. With `limit_per`: so many for each parent."""
    return await listed(reading, asked, store.bring_currencies)


REVERSIBLE = {EntryKind.ALLOT, EntryKind.TRANSFER}


@router.post("/v1/entries/{id}/reverse", dependencies=[scope("budget:approve")])
async def reverse_entry(
    id: UUID, create: ReversalCreate, session: Session, who: CurrentPrincipal, now: Now
) -> LinePosition:
    """Takes an allotment or a transfer back, with all entries that balance it, by entries of today: so what happened in
    a closed period is put right in an open one. Once: again is 409. Requests and invoices have ways of their own."""
    entries = await store.entries_of(session, id)
    if entries[0].kind not in REVERSIBLE:
        raise Conflict(f"{entries[0].kind} is undone by what it was made for", code="not_reversible")
    if await store.is_reversed(session, id):
        raise Conflict("it is taken back already", code="reversed")
    legs = [Leg(each.line_id, -store.change_of(each), store.original_of(each, -1)) for each in entries]
    after = await move(
        session, EntryKind.REVERSE, legs, who=who.subject, now=now, reason=create.reason,
        reverses=[each.id for each in entries],
    )  # fmt: skip
    line = await plan.get_line(session, next(each.line_id for each in entries if each.id == id))
    return LinePosition.of_amounts(after[line.id], line.currency, line_id=line.id)


@router.get("/v1/ledger-check", dependencies=[scope("audit:read")])
async def check_ledger(reading: Reading) -> LedgerCheck:
    """Holds every balance against the entries that it is the sum of, every running balance against those before it,
    and what is held against what is reserved and committed. Reads all entries of the workspace."""
    found = dict(await check(reading))
    wrong = any(value for name, value in found.items() if name not in ("lines", "entries"))
    return LedgerCheck(**found, sound=not wrong)
