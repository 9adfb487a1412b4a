"""Decides what callers can do with goals."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.answers import by_id, listed, page_of, read_row
from chassis.db import Now, Reading, Session, calling, workspace_of, zone_of
from chassis.errors import Conflict, FieldError, NotFound, Unavailable
from chassis.fields import UtcDatetime
from chassis.idempotency import IdempotentRoute
from chassis.identity import CurrentPrincipal, Principal, scope
from chassis.listing import Fields, Listing, Parent, fields_of, listing
from chassis.outbox import record
from chassis.paging import MOST, Groups, Page
from services.goals.events import GoalActivated, GoalCreated
from services.goals.goal import store
from services.goals.goal.actions import AWAY, Answers, Subject, ask, find, keep, read_subjects
from services.goals.goal.models import (
    Evaluation,
    Goal,
    GoalCampaign,
    GoalCreate,
    GoalRead,
    ProgressRead,
    SmartLetter,
    SmartRead,
)
from services.goals.goal.rules import STALE_AFTER, GoalState, Standing, elapsed_share, standing
from services.goals.goal.smart import Verdict, passed
from services.goals.upstream import Upstream

router = APIRouter(route_class=IdempotentRoute, tags=["goals"])

GoalIds = Annotated[list[UUID], Query(min_length=1, max_length=MOST, description=f"Of these goals, up to {MOST}.")]
AsOf = Annotated[UtcDatetime | None, Query(description="As it was known then; default: now.")]


@router.post("/v1/goals", status_code=201, dependencies=[scope("goals:write")])
async def create_goal(create: GoalCreate, session: Session, who: CurrentPrincipal, now: Now) -> GoalRead:
    """Drafts a goal. Ask for its SMART verdicts next; activate it when they pass."""
    campaign_ids = list(dict.fromkeys(create.campaign_ids))
    goal = Goal.model_validate(
        {
            **create.model_dump(include={"title", "kind", "relevance", "objective_id"}),
            "workspace_id": workspace_of(session),
            "metric_key": create.metric.key,
            "baseline_from": create.baseline.from_ if create.baseline else None,
            "baseline_to": create.baseline.to if create.baseline else None,
            "change_percent": create.target.change_percent,
            "asked_value": create.target.value,
            "window_start": create.window.start,
            "window_due": create.window.due,
            "owner": create.owner or who.subject,
            "state": GoalState.DRAFT,
            "created_at": now,
            "evaluate_at": now,
        }
    )
    await store.add_goal(session, goal, campaign_ids)
    await record(session, GoalCreated(goal_id=goal.id, campaign_ids=campaign_ids), goal.id, now)
    return GoalRead.of(goal, campaign_ids=campaign_ids)


@router.get("/v1/goals/{id}", dependencies=[scope("goals:read")])
async def get_goal(id: UUID, reading: Reading, fields: Fields = fields_of(GoalRead)) -> GoalRead:
    """One goal."""
    return await read_row(reading, Goal, id, GoalRead, fields, campaign_ids=by_id(store.campaigns_of))


@router.get("/v1/goals", dependencies=[scope("goals:read")])
async def list_goals(
    reading: Reading,
    asked: Listing[GoalRead] = listing(
        Goal,
        GoalRead,
        sort=("title", "window_due", "created_at"),
        by=("state", "metric_key", "owner", "window_due", "created_at"),
        parents={
            "campaign_id": Parent(GoalCampaign.campaign_id, (GoalCampaign, store.CAMPAIGN_LINK)),
            "objective_id": Parent(Goal.objective_id),
        },
    ),
) -> Page[GoalRead] | Groups[GoalRead]:
    """Goals, the oldest first unless sorted otherwise. With `limit_per`: so many for each campaign or objective,
    whichever is named first."""
    return await listed(reading, asked, campaign_ids=by_id(store.campaigns_of))


async def _look(id: UUID, request: Request, who: CurrentPrincipal, now: Now) -> tuple[list[Subject], Answers]:
    """Asks about a goal before the route's own transaction opens, so that none is open while others are asked."""
    async with calling(request, who) as session:
        subjects = await read_subjects(session, [await store.get_goal(session, id)], now)
    return subjects, await ask(request.app.state.upstream, who.workspace_id, subjects)


Looked = Annotated[tuple[list[Subject], Answers], Depends(_look)]


@router.post("/v1/goals/{id}/activate", dependencies=[scope("goals:write")])
async def activate_goal(id: UUID, looked: Looked, session: Session, who: CurrentPrincipal, now: Now) -> GoalRead:
    """Pins the target as a number, with the metric's version and what was known of the baseline.

    409 `not_smart` names the letters that fail; 503 while metrics can't be asked.
    """
    goal = await store.get_goal(session, id, lock=True)
    if goal.state is not GoalState.DRAFT:
        raise Conflict(f"the goal is {goal.state}; only a draft can be activated", code="not_a_draft")
    found = (await keep(session, *looked, now))[id]
    failing = [each for each in found.smart if each["verdict"] == Verdict.FAIL]
    if failing or found.target is None:
        raise Conflict(
            "the goal isn't SMART yet: " + " ".join(f"{each['letter']}: {each['reason']}" for each in failing),
            code="not_smart",
            errors=tuple(FieldError(f"smart.{each['letter']}", "fail", each["reason"]) for each in failing),
        )
    goal.state, goal.activated_at, goal.activated_by = GoalState.ACTIVE, now, who.subject
    goal.target_value, goal.baseline_value, goal.adds_up = found.target, found.baseline, found.adds_up
    goal.metric_version, goal.baseline_watermark = found.metric_version, found.baseline_watermark
    session.add(goal)
    await record(session, GoalActivated(goal_id=goal.id, target_value=found.target), goal.id, now)
    return GoalRead.of(goal, campaign_ids=(await store.campaigns_of(session, [id]))[id])


@router.post("/v1/goals/{id}/evaluate", dependencies=[scope("goals:write")])
async def evaluate_goal(id: UUID, looked: Looked, request: Request, session: Session, now: Now) -> ProgressRead:
    """Looks at the goal's metric now instead of waiting for the next event or minute. 503 while metrics is away."""
    found = await keep(session, *looked, now)
    return (await _progress(session, request, [await store.get_goal(session, id)], found, now, None))[0]


@router.get("/v1/goals/{id}/smart", dependencies=[scope("goals:read")])
async def get_smart(
    id: UUID, request: Request, who: CurrentPrincipal, now: Now, fields: Fields = fields_of(SmartRead)
) -> SmartRead:
    """The goal's verdicts: specific, measurable, achievable, realistic, time-bound."""
    found = await _smart(request, who, [id], now, fields)
    if not found:
        raise NotFound(f"no goal {id}")
    return found[0]


@router.get("/v1/smart", dependencies=[scope("goals:read")])
async def list_smart(
    goal_id: GoalIds, request: Request, who: CurrentPrincipal, now: Now, fields: Fields = fields_of(SmartRead)
) -> Page[SmartRead]:
    """The verdicts of many goals; goals that don't exist are left out."""
    return page_of(SmartRead, await _smart(request, who, goal_id, now, fields))


@router.get("/v1/goals/{id}/progress", dependencies=[scope("goals:read")])
async def get_progress(
    id: UUID,
    request: Request,
    session: Session,
    now: Now,
    as_of: AsOf = None,
    fields: Fields = fields_of(ProgressRead),
) -> ProgressRead:
    """How far the goal is, by its latest evaluation at or before `as_of`."""
    goal = await store.get_goal(session, id)
    found = await store.latest_evaluations(session, [id], as_of)
    return (await _progress(session, request, [goal], found, now, as_of, fields))[0]


@router.get("/v1/progress", dependencies=[scope("goals:read")])
async def list_progress(
    goal_id: GoalIds,
    request: Request,
    session: Session,
    now: Now,
    as_of: AsOf = None,
    fields: Fields = fields_of(ProgressRead),
) -> Page[ProgressRead]:
    """The progress of many goals; goals that don't exist are left out."""
    goals = await store.get_goals(session, goal_id)
    found = await store.latest_evaluations(session, [goal.id for goal in goals], as_of)
    return page_of(ProgressRead, await _progress(session, request, goals, found, now, as_of, fields))


async def _smart(
    request: Request, who: Principal, goal_ids: list[UUID], now: datetime, fields: Fields
) -> list[SmartRead]:
    """Stored verdicts. A goal that was never evaluated is judged now; without metrics, as far as that goes."""
    async with calling(request, who) as session:
        goals = await store.get_goals(session, goal_ids)
        found = await store.latest_evaluations(session, [goal.id for goal in goals])
        new = await read_subjects(session, [goal for goal in goals if goal.id not in found], now)
    if new:
        try:
            answers = await ask(request.app.state.upstream, who.workspace_id, new)
        except Unavailable:
            found |= {subject.goal.id: find(subject, AWAY, now) for subject in new}
        else:
            async with calling(request, who) as session:
                found |= await keep(session, new, answers, now)
    return [
        SmartRead.of(
            None, only=fields, goal_id=goal.id,
            passed=passed(Verdict(each["verdict"]) for each in found[goal.id].smart),
            letters=[SmartLetter.model_validate(each) for each in found[goal.id].smart],
            evaluated_at=found[goal.id].checked_at,
        )
        for goal in goals
        if goal.id in found
    ]  # fmt: skip


async def _progress(
    session: AsyncSession, request: Request, goals: list[Goal], found: dict[UUID, Evaluation], now: datetime,
    as_of: datetime | None, fields: Fields = None,
) -> list[ProgressRead]:  # fmt: skip
    upstream: Upstream = request.app.state.upstream
    moment = as_of or now
    zone = await zone_of(session) if goals else "UTC"
    answers = []
    for goal in goals:
        seen = found.get(goal.id)
        elapsed = elapsed_share(goal.window_days, zone, moment)
        stand, confirmed = Standing(None, None, None, None), None
        if seen is not None:
            stand = standing(goal.kind, seen.value, seen.baseline, seen.target, elapsed, seen.adds_up)
            confirmed = min(seen.checked_at, moment)
        silent = confirmed is None or moment - confirmed > STALE_AFTER
        answers.append(
            ProgressRead.of(
                None, only=fields, goal_id=goal.id,
                value=seen.value if seen else None, baseline=seen.baseline if seen else None,
                target=seen.target if seen else None, share=stand.share, expected=stand.expected,
                forecast=stand.forecast, health=stand.health, as_of=moment, evaluated_at=confirmed,
                stale=silent or (as_of is None and not upstream.metrics_answers),
                age_seconds=(moment - confirmed).total_seconds() if confirmed else None,
            )
        )  # fmt: skip
    return answers
