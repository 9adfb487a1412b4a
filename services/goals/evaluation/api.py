"""Decides what callers see of how goals stand."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request

from chassis.answers import listed, rows_of
from chassis.db import Now, Reading, Session, calling, zone_of
from chassis.errors import Conflict, NotFound, Unavailable
from chassis.fields import UtcDatetime
from chassis.idempotency import IdempotentRoute
from chassis.identity import CurrentPrincipal, Principal, scope
from chassis.listing import Listing, Parent, listing
from chassis.paging import MOST, Groups, Page
from chassis.reading import Reader
from services.goals.evaluation import store
from services.goals.evaluation.actions import AWAY, Looked, ask, find, keep, read_subjects, stands
from services.goals.evaluation.forecast import LEVEL, METHOD, UNKNOWN, Standing
from services.goals.evaluation.models import (
    Evaluation,
    EvaluationRead,
    ForecastIntervalRead,
    History,
    LetterOverride,
    OutcomeRead,
    PathsRead,
    ProgressRead,
    SmartLetter,
    SmartRead,
)
from services.goals.evaluation.smart import failing
from services.goals.goal import store as goals
from services.goals.goal.models import Goal, Window
from services.goals.goal.rules import DECIDED_STATES, STALE_AFTER, GoalState, decides_at
from services.goals.override.models import Override
from services.goals.override.store import overrides_in_force

router = APIRouter(route_class=IdempotentRoute, tags=["evaluations"])

GoalIds = Annotated[list[UUID], Query(min_length=1, max_length=MOST, description=f"Of these goals, up to {MOST}.")]
AsOf = Annotated[
    UtcDatetime | None,
    Query(description="As it was known then; default: now.", examples=["2026-03-01T12:00:00Z"]),
]


@router.post("/v1/goals/{id}/evaluate", dependencies=[scope("goals:write")])
async def evaluate_goal(id: UUID, looked: Looked, request: Request, session: Session, now: Now) -> ProgressRead:
    """Looks at the goal's metric now instead of waiting for the next event or minute. 503 while metrics is away."""
    found = await keep(session, *looked, now)
    goal = await goals.get_goal(session, id)
    if id not in found:
        raise Conflict("the goal was changed while it was looked at: try again", code="changed")
    histories = await store.histories(session, list(found.values()))
    away = not request.app.state.upstream.metrics_answers
    return _progress(goal, found[id], _history(histories, found[id]), await zone_of(session), now, is_away=away)


@router.get("/v1/goals/{id}/smart", dependencies=[scope("goals:read")])
async def get_smart(id: UUID, request: Request, who: CurrentPrincipal, now: Now) -> SmartRead:
    """The goal's verdicts: specific, measurable, achievable, realistic, time-bound."""
    found = await _smart(request, who, [id], now)
    if not found:
        raise NotFound(f"no goal {id}")
    return found[0]


@router.get("/v1/smart", dependencies=[scope("goals:read")])
async def list_smart(goal_id: GoalIds, request: Request, who: CurrentPrincipal, now: Now) -> Page[SmartRead]:
    """The verdicts of many goals; goals that don't exist are left out."""
    return Page(items=await _smart(request, who, goal_id, now))


@router.get("/v1/goals/{id}/progress", dependencies=[scope("goals:read")])
async def get_progress(id: UUID, request: Request, session: Session, now: Now, as_of: AsOf = None) -> ProgressRead:
    """How far the goal is, by its latest evaluation at or before `as_of`; of days before the last two only the last
    evaluation is kept."""
    found = await _progresses(request, session, [await goals.get_goal(session, id)], now, as_of)
    return found[0]


@router.get("/v1/progress", dependencies=[scope("goals:read")])
async def list_progress(
    goal_id: GoalIds, request: Request, session: Session, now: Now, as_of: AsOf = None
) -> Page[ProgressRead]:
    """The progress of many goals; goals that don't exist are left out."""
    found = await goals.get_goals(session, goal_id)
    return Page(items=await _progresses(request, session, found, now, as_of))


@router.get("/v1/evaluations", dependencies=[scope("goals:read")])
async def list_evaluations(
    reading: Reading,
    asked: Listing[EvaluationRead] = listing(
        Evaluation,
        EvaluationRead,
        sort=("evaluated_at",),
        scanned=("evaluated_at",),
        called={"evaluated_at": "found"},
        parents={"goal_id": Parent(Evaluation.goal_id, needed=True)},
    ),
) -> Page[EvaluationRead] | Groups[EvaluationRead]:
    """What was found of goals over time, to draw their course: a point wherever something changed."""
    return await listed(reading, asked, _stand)


def _history(histories: Mapping[UUID, History], seen: Evaluation | None) -> History | None:
    return histories.get(seen.history_id) if seen and seen.history_id else None


async def _stand(reader: Reader, rows: Sequence[Evaluation]) -> None:
    """Adds to evaluations where their goals stood by them."""
    found = await rows_of(reader, Goal, {row.goal_id for row in rows})
    histories = await rows_of(reader, History, {row.history_id for row in rows if row.history_id})
    zone = await zone_of(reader)
    for row in rows:
        goal = found[row.goal_id]
        stand = stands(goal, row, _history(histories, row), zone, row.evaluated_at)
        days = row.window_days or goal.window_days
        vars(row).update(
            window=Window(start=days.start, due=days.end), share=stand.share, expected=stand.expected,
            forecast=stand.forecast, health=stand.health,
        )  # fmt: skip


async def _smart(request: Request, who: Principal, goal_ids: list[UUID], now: datetime) -> list[SmartRead]:
    """Stored verdicts. A goal that was never evaluated is judged now; without metrics, as far as that goes."""
    async with calling(request, who) as session:
        wanted = await goals.get_goals(session, goal_ids)
        found = await store.latest_evaluations(session, [goal.id for goal in wanted])
        overrides = await overrides_in_force(session, wanted)
        new = await read_subjects(session, [goal for goal in wanted if goal.id not in found], now)
    if new:
        try:
            answers = await ask(request.app.state.upstream, who.workspace_id, new, now)
        except Unavailable:
            found |= {subject.goal.id: find(subject, AWAY, None, now) for subject in new}
        else:
            async with calling(request, who) as session:
                found |= await keep(session, new, answers, now)
    return [_letters(found[goal.id], overrides[goal.id]) for goal in wanted if goal.id in found]


def _letters(seen: Evaluation, overrides: Mapping[str, Override]) -> SmartRead:
    letters = [
        SmartLetter(
            **each,
            override=LetterOverride.model_validate(overrides[each["letter"]]) if each["letter"] in overrides else None,
        )
        for each in seen.smart
    ]
    verdicts: Iterable[tuple[str, str]] = ((each.letter, each.verdict) for each in letters)
    return SmartRead(
        goal_id=seen.goal_id, passed=not failing(verdicts, overrides), letters=letters, evaluated_at=seen.checked_at
    )


async def _progresses(
    request: Request, session: Session, found: list[Goal], now: datetime, as_of: datetime | None
) -> list[ProgressRead]:
    seen = await store.latest_evaluations(session, [goal.id for goal in found], as_of)
    histories = await store.histories(session, list(seen.values()))
    zone = await zone_of(session) if found else "UTC"
    away = as_of is None and not request.app.state.upstream.metrics_answers
    return [
        _progress(
            goal, seen.get(goal.id), _history(histories, seen.get(goal.id)), zone, as_of or now, is_away=away
        )
        for goal in found
    ]  # fmt: skip


def _progress(
    goal: Goal, seen: Evaluation | None, history: History | None, zone: str, moment: datetime, *, is_away: bool
) -> ProgressRead:
    stand = stands(goal, seen, history, zone, moment) if seen else Standing()
    confirmed = min(seen.checked_at, moment) if seen else None
    is_closed = goal.closed_at is not None and goal.closed_at <= moment
    silent = confirmed is None or moment - confirmed > STALE_AFTER
    outdated = seen is not None and _asks_otherwise(goal, seen, moment)
    course = history.course if history else UNKNOWN
    return ProgressRead(
        goal_id=goal.id, value=seen.value if seen else None, baseline=seen.baseline if seen else None,
        target=seen.target if seen else None, share=stand.share, expected=stand.expected,
        paths=PathsRead(
            straight=stand.straight, seasonal=stand.seasonal, reason=course.reason,
            used="straight" if stand.seasonal is None else "seasonal",
        ),
        forecast=stand.forecast, forecast_interval=_interval(stand, history),
        health=None if is_closed else stand.health,
        decides_at=decides_at((seen.window_days if seen else None) or goal.window_days, zone),
        outcome=_outcome(goal, seen) if is_closed else None, as_of=moment, evaluated_at=confirmed,
        # What is closed is no longer waited for.
        stale=not is_closed and (silent or is_away or outdated),
        age_seconds=(moment - confirmed).total_seconds() if confirmed else None,
    )  # fmt: skip


def _asks_otherwise(goal: Goal, seen: Evaluation, moment: datetime) -> bool:
    """Whether the goal has been edited or revised since it was looked at, so that other numbers are due."""
    if goal.changed_at is None or goal.changed_at > moment:
        return False
    terms = (goal.target_value, goal.baseline_value, goal.window_days)
    pinned = goal.state is GoalState.ACTIVE and (seen.target, seen.baseline, seen.window_days) != terms
    return pinned or seen.checked_at < goal.changed_at


def _interval(stand: Standing, history: History | None) -> ForecastIntervalRead | None:
    if stand.low is None or stand.high is None or history is None:
        return None
    return ForecastIntervalRead(low=stand.low, high=stand.high, level=LEVEL, days=history.days, method=METHOD)


def _outcome(goal: Goal, seen: Evaluation | None) -> OutcomeRead | None:
    if goal.state not in DECIDED_STATES or goal.closed_at is None:
        return None
    moved = None
    if seen is not None and seen.value is not None and goal.outcome_value is not None:
        moved = seen.value - goal.outcome_value
    return OutcomeRead(
        state=goal.state, reason=goal.closing_reason, value=goal.outcome_value, decided_at=goal.closed_at,
        moved_since=moved,
    )  # fmt: skip
