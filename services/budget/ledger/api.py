"""Decides what callers can do with a line's money, and how they read what became of it."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query

from chassis.answers import page_of
from chassis.db import Now, Reading, Session
from chassis.fields import UtcDatetime
from chassis.idempotency import IdempotentRoute
from chassis.identity import CurrentPrincipal, scope
from chassis.listing import Fields, fields_of
from chassis.paging import MOST, Page
from services.budget.ledger import store
from services.budget.ledger.models import (
    AllotmentCreate,
    LinePosition,
    Position,
    PositionOfCampaign,
    PositionOfLine,
    PositionProblem,
)
from services.budget.ledger.rules import EntryKind, MixedCurrencies, allotment, campaign_position
from services.budget.plan import store as plan

router = APIRouter(route_class=IdempotentRoute, tags=["positions"])

Wanted = Annotated[list[UUID], Query(min_length=1, max_length=MOST, description=f"Up to {MOST}, repeated.")]


@router.post("/v1/lines/{id}/allot", dependencies=[scope("budget:approve")])
async def allot_line(
    id: UUID, create: AllotmentCreate, session: Session, who: CurrentPrincipal, now: Now
) -> LinePosition:
    """Sets money aside on a line, for good: an entry is never changed. Answers with the position after it. A parent's
    own allotment stays what it is."""
    line = await plan.get_line(session, id)
    change = allotment(create.amount.minor, create.amount.currency, line.currency)
    balance = await store.lock_balance(session, id)
    after = await store.post(session, balance, EntryKind.ALLOT, change, who.subject, now, create.reason)
    return LinePosition.of_amounts(after, line.currency, line_id=id)


@router.get("/v1/lines/{id}/position", dependencies=[scope("budget:read")])
async def get_line_position(
    id: UUID,
    session: Session,
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
    line = await plan.get_line(session, id)
    amounts = await (store.line_balance(session, id) if as_of is None else store.balance_at(session, id, as_of))
    return LinePosition.of_amounts(amounts, line.currency, line_id=id, only=fields)


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
    campaign_id: Wanted, reading: Reading, fields: Fields = fields_of(PositionOfCampaign)
) -> Page[PositionOfCampaign]:
    """Positions of many campaigns, in the order asked for: each the sum over all lines that carry it, children counted
    like any other, in the workspace's reporting currency. A campaign that no line carries has zeros, whether or not it
    exists."""
    reporting, found = await store.campaign_sums(reading, campaign_id)
    items = []
    for key, sums in found.items():
        decided = campaign_position(reporting, sums)
        if isinstance(decided, MixedCurrencies):
            found_out: dict[str, Any] = {"position": None, "problem": PositionProblem.of(decided)}
        else:
            found_out = {"position": Position.of_amounts(decided, reporting), "problem": None}
        items.append(PositionOfCampaign.of(None, only=fields, campaign_id=key, **found_out))
    return page_of(PositionOfCampaign, items)
