"""Decides what callers can do with budget lines."""

from uuid import UUID

from fastapi import APIRouter

from chassis.answers import listed, read_row
from chassis.db import Now, Reading, Session, workspace_of
from chassis.editing import IfMatch, edited, held
from chassis.errors import Forbidden
from chassis.idempotency import IdempotentRoute
from chassis.identity import CurrentPrincipal, scope
from chassis.listing import Fields, Listing, Parent, fields_of, listing
from chassis.paging import Groups, Page
from services.budget.ledger import store as ledger
from services.budget.plan import store
from services.budget.plan.models import Line, LineCreate, LinePatch, LineRead
from services.budget.plan.rules import LinePolicy, assert_fits, assert_holds, assert_may_stop

router = APIRouter(route_class=IdempotentRoute, tags=["lines"])

APPROVE = "budget:approve"


@router.post("/v1/lines", status_code=201, dependencies=[scope("budget:write")])
async def create_line(create: LineCreate, session: Session, now: Now) -> LineRead:
    """Opens a line, with nothing allotted to it yet. A parent must exist, be in the same currency, and its period must
    hold the line's. Whether goals knows the campaign isn't asked: the line waits for it."""
    line = Line.model_validate({**create.columns(), "workspace_id": workspace_of(session), "created_at": now})
    if line.parent_id is not None:
        assert_fits(line.frame, (await store.get_parent(session, line.parent_id)).frame)
    await store.add_line(session, line)
    stops = line.policy is LinePolicy.STOP
    await ledger.open_balance(session, line.id, now, stops=stops, low_percent=line.low_percent)
    return LineRead.of(line)


@router.patch("/v1/lines/{id}", dependencies=[scope("budget:write")])
async def update_line(
    id: UUID, patch: LinePatch, if_match: IfMatch, session: Session, who: CurrentPrincipal
) -> LineRead:
    """Changes what is sent and leaves the rest. The period stays within the parent's and around the children's; 409
    `overspent` when a line that is below zero should stop. That one stops no more takes the scope budget:approve."""
    line = await held(session, Line, id, if_match)
    wanted = edited(LineCreate, LineRead.of(line), patch)
    if wanted.policy is LinePolicy.WARN and line.policy is LinePolicy.STOP and APPROVE not in who.scopes:
        raise Forbidden(f"to let a line be overspent takes the scope {APPROVE}", code="scope_missing")
    if (wanted.policy, wanted.low_percent) != (line.policy, line.low_percent):
        balance = await ledger.lock_balance(session, id)
        assert_may_stop(wanted.policy, (await ledger.standing(session, id)).balance.available)
        balance.stops, balance.low_percent = wanted.policy is LinePolicy.STOP, wanted.low_percent
    line.sqlmodel_update(wanted.columns())
    if line.parent_id is not None:
        assert_fits(line.frame, (await store.get_parent(session, line.parent_id)).frame)
    reach = await store.reach_of_children(session, id)
    if reach is not None:
        assert_holds(line.frame, *reach)
    await session.flush()
    return LineRead.of(line)


@router.get("/v1/lines/{id}", dependencies=[scope("budget:read")])
async def get_line(id: UUID, reading: Reading, fields: Fields = fields_of(LineRead)) -> LineRead:
    """One line. What of its money is left is its position."""
    return await read_row(reading, Line, id, LineRead, fields)


@router.get("/v1/lines", dependencies=[scope("budget:read")])
async def list_lines(
    reading: Reading,
    asked: Listing[LineRead] = listing(
        Line,
        LineRead,
        sort=("name", "period_start", "created_at"),
        by=("department", "channel", "period_start", "created_at"),
        parents={"campaign_id": Parent(Line.campaign_id), "parent_id": Parent(Line.parent_id)},
    ),
) -> Page[LineRead] | Groups[LineRead]:
    """Lines that fit every filter, the oldest first unless sorted otherwise. With `limit_per`: so many for each
    campaign or parent, whichever is named first."""
    return await listed(reading, asked)
