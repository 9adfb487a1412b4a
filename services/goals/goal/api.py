"""Decides what callers can do with goals."""

from uuid import UUID

from fastapi import APIRouter

from chassis.answers import by_id, listed, read_of, read_row
from chassis.db import Now, Reading, Session, workspace_of
from chassis.editing import IfMatch, edited, held
from chassis.errors import Conflict, FieldError, Forbidden
from chassis.idempotency import IdempotentRoute
from chassis.identity import CurrentPrincipal, scope
from chassis.listing import Fields, Listing, Parent, fields_of, listing
from chassis.outbox import record
from chassis.paging import Groups, Page
from services.goals.evaluation.actions import Looked, keep
from services.goals.evaluation.smart import failing
from services.goals.events import GoalActivated, GoalCancelled, GoalChanged, GoalCreated
from services.goals.goal import store
from services.goals.goal.models import Goal, GoalCampaign, GoalCancel, GoalCreate, GoalPatch, GoalRead
from services.goals.goal.rules import OPEN_STATES, GoalState
from services.goals.override.store import overrides_in_force

router = APIRouter(route_class=IdempotentRoute, tags=["goals"])

ALWAYS_EDITABLE = {"title", "owner", "relevance"}


DERIVED = {"campaign_ids": by_id(store.campaigns_of)}


@router.post("/v1/goals", status_code=201, dependencies=[scope("goals:write")])
async def create_goal(create: GoalCreate, session: Session, who: CurrentPrincipal, now: Now) -> GoalRead:
    """Drafts a goal. Ask for its SMART verdicts next; activate it when they pass."""
    campaign_ids = list(dict.fromkeys(create.campaign_ids))
    goal = Goal.model_validate(
        {
            **create.columns(),
            "workspace_id": workspace_of(session),
            "owner": create.owner or who.subject,
            "state": GoalState.DRAFT,
            "created_at": now,
            "evaluate_at": now,
        }
    )
    await store.save_goal(session, goal, campaign_ids)
    await record(session, GoalCreated(goal_id=goal.id, campaign_ids=campaign_ids), goal.id, now)
    return GoalRead.of(goal, campaign_ids=campaign_ids)


@router.get("/v1/goals/{id}", dependencies=[scope("goals:read")])
async def get_goal(id: UUID, reading: Reading, fields: Fields = fields_of(GoalRead)) -> GoalRead:
    """One goal."""
    return await read_row(reading, Goal, id, GoalRead, fields, **DERIVED)


@router.get("/v1/goals", dependencies=[scope("goals:read")])
async def list_goals(
    reading: Reading,
    asked: Listing[GoalRead] = listing(
        Goal,
        GoalRead,
        sort=("title", "window_due", "created_at"),
        by=("state", "kind", "metric_key", "owner", "health", "window_due", "created_at", "needs_review"),
        called={"metric_key": "metric", "window_due": "due"},
        parents={
            "campaign_id": Parent(GoalCampaign.campaign_id, (GoalCampaign, store.CAMPAIGN_LINK)),
            "objective_id": Parent(Goal.objective_id),
        },
    ),
) -> Page[GoalRead] | Groups[GoalRead]:
    """Goals, the oldest first unless sorted otherwise. With `limit_per`: so many for each campaign or objective,
    whichever is named first."""
    return await listed(reading, asked, **DERIVED)


@router.patch("/v1/goals/{id}", dependencies=[scope("goals:write")])
async def update_goal(
    id: UUID, patch: GoalPatch, if_match: IfMatch, session: Session, who: CurrentPrincipal, now: Now
) -> GoalRead:
    """Changes what is sent and leaves the rest. Anything of a draft; overrides of its letters lapse when it asks for
    something else. 409 `not_a_draft` for more than title, owner and relevance of any other: an active goal is revised.
    """
    goal = await held(session, Goal, id, if_match)
    campaigns = (await store.campaigns_of(session, [id]))[id]
    wanted = edited(GoalCreate, GoalCreate.of(goal, campaigns), patch)
    columns = {**wanted.columns(), "owner": wanted.owner or who.subject}
    wanted_campaigns = sorted(set(wanted.campaign_ids))
    changed = {name for name, value in columns.items() if getattr(goal, name) != value}
    if wanted_campaigns != campaigns:
        changed.add("campaign_ids")
    if changed - ALWAYS_EDITABLE:
        if goal.state is not GoalState.DRAFT:
            raise Conflict(f"the goal is {goal.state}: revise it to change what it asks for", code="not_a_draft")
        goal.changed_at = goal.evaluate_at = now
    goal.sqlmodel_update(columns)
    await store.save_goal(session, goal, wanted_campaigns)
    if changed:
        await record(session, GoalChanged(goal_id=id), id, now)
    return GoalRead.of(goal, campaign_ids=wanted_campaigns)


@router.post("/v1/goals/{id}/activate", dependencies=[scope("goals:write")])
async def activate_goal(
    id: UUID, looked: Looked, if_match: IfMatch, session: Session, who: CurrentPrincipal, now: Now
) -> GoalRead:
    """Pins the target as a number, with the metric's version and what was known of the baseline.

    409 `not_smart` names the letters that fail and aren't overridden; 503 while metrics can't be asked.
    """
    goal = await held(session, Goal, id, if_match)
    if goal.state is not GoalState.DRAFT:
        raise Conflict(f"the goal is {goal.state}; only a draft can be activated", code="not_a_draft")
    found = (await keep(session, *looked, now)).get(id)
    if found is None:
        raise Conflict("the goal was changed while it was looked at: try again", code="changed")
    overridden = await overrides_in_force(session, [goal])
    said = {each["letter"]: each for each in found.smart}
    letters = failing(((each["letter"], each["verdict"]) for each in found.smart), overridden[id])
    if letters or found.target is None:
        raise Conflict(
            "the goal isn't SMART yet: " + " ".join(f"{each}: {said[each]['reason']}" for each in letters),
            code="not_smart",
            errors=tuple(FieldError(f"smart.{each}", "fail", said[each]["reason"]) for each in letters),
        )
    goal.state, goal.activated_at, goal.activated_by = GoalState.ACTIVE, now, who.subject
    goal.target_value, goal.baseline_value, goal.adds_up = found.target, found.baseline, found.adds_up
    goal.metric_version, goal.baseline_watermark = found.metric_version, found.baseline_watermark
    session.add(goal)
    await session.flush()
    await record(session, GoalActivated(goal_id=goal.id, target_value=found.target), goal.id, now)
    return await read_of(session, GoalRead, goal, **DERIVED)


@router.post("/v1/goals/{id}/cancel", dependencies=[scope("goals:write")])
async def cancel_goal(
    id: UUID, cancel: GoalCancel, if_match: IfMatch, session: Session, who: CurrentPrincipal, now: Now
) -> GoalRead:
    """Gives a draft or an active goal up. An active one takes `goals:approve`, as a goal isn't cancelled to hide that
    it is missed; it asks for a review then. 409 `closed` once it is over."""
    goal = await held(session, Goal, id, if_match)
    if goal.state not in OPEN_STATES:
        raise Conflict(f"the goal is {goal.state}; only a draft or an active goal can be cancelled", code="closed")
    if goal.state is GoalState.ACTIVE and "goals:approve" not in who.scopes:
        raise Forbidden("cancelling an active goal takes the scope goals:approve", code="scope_missing")
    goal.needs_review = goal.state is GoalState.ACTIVE
    goal.state, goal.closed_at, goal.closed_by, goal.closing_reason = (
        GoalState.CANCELLED, now, who.subject, cancel.reason,
    )  # fmt: skip
    goal.evaluate_at, goal.health = None, None
    session.add(goal)
    await session.flush()
    await record(session, GoalCancelled(goal_id=id, reason=cancel.reason), id, now)
    return await read_of(session, GoalRead, goal, **DERIVED)
