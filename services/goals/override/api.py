"""Decides who may set a failing letter aside, and how that stays visible."""

from uuid import UUID

from fastapi import APIRouter

from chassis.answers import listed
from chassis.db import Now, Reading, Session, workspace_of
from chassis.errors import Conflict
from chassis.idempotency import IdempotentRoute
from chassis.identity import CurrentPrincipal, scope
from chassis.listing import Listing, Parent, listing
from chassis.outbox import record
from chassis.paging import Groups, Page
from services.goals.events import GoalOverridden
from services.goals.goal import store as goals
from services.goals.goal.rules import GoalState
from services.goals.override import store
from services.goals.override.models import Override, OverrideCreate, OverrideRead

router = APIRouter(route_class=IdempotentRoute, tags=["overrides"])


@router.post("/v1/goals/{id}/override", status_code=201, dependencies=[scope("goals:approve")])
async def override_letter(
    id: UUID, create: OverrideCreate, session: Session, who: CurrentPrincipal, now: Now
) -> OverrideRead:
    """Lets a draft be activated though A or R fails. It lapses when the draft asks for something else. 409
    `not_a_draft` for any other goal."""
    goal = await goals.get_goal(session, id, lock=True)
    if goal.state is not GoalState.DRAFT:
        raise Conflict(f"the goal is {goal.state}; only a draft's letters can be overridden", code="not_a_draft")
    override = Override(
        workspace_id=workspace_of(session), goal_id=id, letter=create.letter, reason=create.reason,
        overridden_by=who.subject, overridden_at=now,
    )  # fmt: skip
    await store.add_override(session, override)
    await record(session, GoalOverridden(goal_id=id, letter=create.letter), id, now)
    return OverrideRead.of(override)


@router.get("/v1/overrides", dependencies=[scope("goals:read")])
async def list_overrides(
    reading: Reading,
    asked: Listing[OverrideRead] = listing(Override, OverrideRead, parents={"goal_id": Parent(Override.goal_id)}),
) -> Page[OverrideRead] | Groups[OverrideRead]:
    """Every override there was, in force or lapsed, the oldest first unless sorted otherwise."""
    return await listed(reading, asked)
