"""Decides what callers can do with a line's money, and how they read what became of it."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from chassis.db import Now, Session
from chassis.fields import UtcDatetime
from chassis.idempotency import IdempotentRoute
from chassis.identity import CurrentPrincipal, scope
from chassis.paging import MOST
from services.budget.ledger import store
from services.budget.ledger.models import (
    AllotmentCreate,
    LinePosition,
    Position,
    PositionOfCampaign,
    PositionOfLine,
    PositionProblem,
    PositionsOfCampaigns,
    PositionsOfLines,
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
    return LinePosition(line_id=id, **dict(Position.of(after, line.currency)))


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
) -> LinePosition:
    """A line's position, now or at any instant of its past."""
    line = await plan.get_line(session, id)
    amounts = await (store.line_balance(session, id) if as_of is None else store.balance_at(session, id, as_of))
    return LinePosition(line_id=id, **dict(Position.of(amounts, line.currency)))


@router.get("/v1/line-positions", dependencies=[scope("budget:read")])
async def list_line_positions(line_id: Wanted, session: Session) -> PositionsOfLines:
    """Positions of many lines, each in its own currency."""
    found = await store.line_balances(session, line_id)
    return PositionsOfLines(
        items=[PositionOfLine(line_id=key, position=Position.of(amounts, currency)) for key, currency, amounts in found]
    )


@router.get("/v1/positions", dependencies=[scope("budget:read")])
async def list_campaign_positions(campaign_id: Wanted, session: Session) -> PositionsOfCampaigns:
    """Positions of many campaigns: each the sum over all lines that carry it, children counted like any other, in the
    workspace's reporting currency. A campaign that no line carries has zeros, whether or not it exists."""
    reporting, found = await store.campaign_sums(session, campaign_id)
    items = []
    for key, sums in found.items():
        decided = campaign_position(reporting, sums)
        if isinstance(decided, MixedCurrencies):
            problem = PositionProblem.model_validate(decided)
            items.append(PositionOfCampaign(campaign_id=key, position=None, problem=problem))
        else:
            items.append(PositionOfCampaign(campaign_id=key, position=Position.of(decided, reporting), problem=None))
    return PositionsOfCampaigns(items=items)
