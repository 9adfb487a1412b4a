"""Decides how goals are evaluated, and their outcome: read, ask, judge, keep. No transaction is open while others are
asked, and what was found of a goal that changed meanwhile is thrown away."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Annotated
from uuid import UUID
from zoneinfo import ZoneInfo

from fastapi import Depends, FastAPI, Request
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm.attributes import set_committed_value

from chassis.db import Database, Now, calling, zone_of
from chassis.errors import Unavailable
from chassis.identity import CurrentPrincipal
from chassis.jobs import Job
from chassis.outbox import record
from chassis.problems import told
from services.goals.evaluation import store
from services.goals.evaluation.forecast import UNKNOWN, Aim, Course, Standing, standing
from services.goals.evaluation.models import Evaluation, History
from services.goals.evaluation.past import find_past, is_old, past_questions, signature
from services.goals.evaluation.smart import Facts, judge
from services.goals.events import GoalAchieved, GoalMissed
from services.goals.goal import store as goals
from services.goals.goal.models import Goal
from services.goals.goal.rules import (
    CORRECTED_FOR,
    DECIDED_STATES,
    EVALUATE_EVERY,
    Days,
    GoalState,
    Health,
    decides_at,
    is_downward,
    outcome,
    resolve_target,
    scale_of,
)
from services.goals.goal.store import Carrier
from services.goals.objective import store as objectives
from services.goals.upstream import HISTORY_SECONDS, Definition, Money, Question, Series, Upstream

log = logging.getLogger("mops.goals")

BATCH = 100
RETRY_AFTER = timedelta(seconds=5)
LOOK_BACK_EVERY = timedelta(days=1)
SYSTEM = "system:goals"


@dataclass(frozen=True)
class Subject:
    """A goal as it was read, and what goals itself knows of it."""

    goal: Goal
    campaigns: tuple[Carrier, ...]
    objective: str | None
    history: History | None
    zone: str
    today: date

    @property
    def campaign_ids(self) -> tuple[UUID, ...]:
        return tuple(each.id for each in self.campaigns)

    def question(self, span: Days) -> Question:
        return Question(self.goal.metric_key, span.start, span.end, self.campaign_ids)

    def total(self, answers: "Answers", span: Days | None) -> Series | None:
        return answers.totals.get(self.question(span)) if span else None

    @property
    def judged_on(self) -> date:
        """An active goal is in time if it was when it was activated."""
        activated = self.goal.activated_at
        return activated.astimezone(ZoneInfo(self.zone)).date() if activated else self.today


@dataclass(frozen=True)
class Answers:
    """What others said. `definitions` is None when metrics couldn't be asked; `pasts` are the histories found anew, by
    goal."""

    definitions: Mapping[str, Definition] | None
    totals: Mapping[Question, Series]
    money: Mapping[UUID, Money]
    pasts: Mapping[UUID, History]


AWAY = Answers(None, {}, {}, {})


async def read_subjects(session: AsyncSession, found: Sequence[Goal], now: datetime) -> list[Subject]:
    """The goals with their campaigns, objectives and histories."""
    if not found:
        return []
    campaigns = await goals.carriers_of(session, [goal.id for goal in found])
    names = await objectives.names_of(session, [goal.objective_id for goal in found if goal.objective_id])
    histories = await store.latest_histories(session, [goal.id for goal in found])
    zone = await zone_of(session)
    today = now.astimezone(ZoneInfo(zone)).date()
    return [
        Subject(
            goal, tuple(campaigns[goal.id]), names.get(goal.objective_id) if goal.objective_id else None,
            histories.get(goal.id), zone, today,
        )
        for goal in found
    ]  # fmt: skip


async def ask(
    upstream: Upstream, workspace_id: UUID, subjects: Sequence[Subject], now: datetime, *, anew: bool = False
) -> Answers:
    """Three calls for up to a hundred goals, and some more where pasts are missing or old, or all are wanted `anew`.

    Raises Unavailable when metrics doesn't answer; for want of a past only if it is wanted anew.
    """
    definitions = await upstream.definitions(workspace_id, [each.goal.metric_key for each in subjects])
    questions = [
        each.question(span)
        for each in subjects
        if each.goal.metric_key in definitions
        for span in (each.goal.window_days, each.goal.baseline_days)
        if span
    ]
    totals = await upstream.series(workspace_id, questions)
    try:
        pasts = await _ask_pasts(upstream, workspace_id, subjects, definitions, now, anew=anew)
    except Unavailable:
        if anew:
            raise
        pasts = {}  # the last past is still nearly right
    try:
        money = await upstream.money(workspace_id, [each for subject in subjects for each in subject.campaign_ids])
    except Unavailable:
        money = {}  # what may be spent colours one letter; it isn't worth losing the rest for
    return Answers(definitions, totals, money, pasts)


async def _ask_pasts(
    upstream: Upstream, workspace_id: UUID, subjects: Sequence[Subject], definitions: Mapping[str, Definition],
    now: datetime, *, anew: bool,
) -> dict[UUID, History]:  # fmt: skip
    wanted = []
    for each in subjects:
        definition = definitions.get(each.goal.metric_key)
        if definition is None:
            continue
        asked = signature(each.goal, definition, each.campaign_ids)
        if anew or is_old(each.goal, each.history, asked, now):
            window = each.goal.window_days
            questions = past_questions(each.question(window), window, definition.adds_up, each.today)
            wanted.append((each.goal, asked, questions, definition.adds_up))
    every = [question for _, _, questions, _ in wanted for question in questions.all]
    answers = await upstream.series(workspace_id, every, HISTORY_SECONDS)
    return {
        goal.id: find_past(goal, asked, questions, answers, adds_up, now) for goal, asked, questions, adds_up in wanted
    }


def find(subject: Subject, answers: Answers, history: History | None, now: datetime) -> Evaluation:
    """A goal's evaluation by these answers; an active goal keeps its pinned target, whatever arrives late."""
    goal = subject.goal
    definition = (answers.definitions or {}).get(goal.metric_key)
    adds_up = definition.adds_up if definition else False
    days, is_draft = goal.baseline_days, goal.state is GoalState.DRAFT
    scale = scale_of(days, goal.window_days, adds_up)
    measured, before = subject.total(answers, goal.window_days), subject.total(answers, days)
    baseline = before.value if before else None
    target = resolve_target(goal.kind, goal.change_percent, goal.asked_value, baseline, scale)
    if not is_draft:
        baseline, target = goal.baseline_value, goal.target_value
    # A number by another definition says nothing about a target that was set by this one.
    comparable = is_draft or definition is None or definition.version == goal.metric_version
    downward = is_downward(goal.kind, adds_up, baseline, target, definition is not None and definition.less_is_better)
    known = [answers.money[each] for each in subject.campaign_ids if each in answers.money]
    facts = Facts(
        kind=goal.kind, downward=downward, metric_key=goal.metric_key, campaigns=len(subject.campaigns),
        idle_campaigns=sum(each.is_idle for each in subject.campaigns),
        unowned_campaigns=sum(not each.owner for each in subject.campaigns),
        metric_known=None if answers.definitions is None else definition is not None,
        version=definition.version if definition else None, pinned_version=None if is_draft else goal.metric_version,
        adds_up=adds_up, unit=definition.unit if definition else None, baseline_days=days, baseline=baseline,
        needs_baseline=goal.change_percent is not None, target=target, scale=scale,
        past=tuple(history.windows) if history else None, objective=subject.objective, relevance=goal.relevance,
        allotted=sum((each.allotted for each in known), Decimal()) if known else None,
        available=sum((each.available for each in known), Decimal()) if known else None,
        window=goal.window_days, today=subject.judged_on,
    )  # fmt: skip
    return Evaluation(
        workspace_id=goal.workspace_id, goal_id=goal.id, evaluated_at=now, checked_at=now,
        metric_version=definition.version if definition else None, adds_up=adds_up, downward=downward,
        value=measured.value if measured and comparable else None, baseline=baseline, target=target,
        baseline_watermark=before.watermark if before else None,
        window_start=goal.window_start, window_due=goal.window_due, history_id=history.id if history else None,
        smart=[
            {"letter": each.letter, "verdict": each.verdict, "reason": each.reason, "evidence": each.evidence}
            for each in judge(facts)
        ],
    )  # fmt: skip


def stands(goal: Goal, seen: Evaluation, history: History | None, zone: str, moment: datetime) -> Standing:
    """Where the goal stands at a moment by what was found."""
    course: Course = history.course if history else UNKNOWN
    window = seen.window_days or goal.window_days
    aim = Aim(goal.kind, seen.downward, seen.adds_up, window, seen.baseline, seen.target)
    return standing(aim, seen.value, course, zone, moment)


async def keep(
    session: AsyncSession, subjects: Sequence[Subject], answers: Answers, now: datetime
) -> dict[UUID, Evaluation]:
    """Keeps what was found, as a new evaluation where it differs from the last, and decides what is to be decided; by
    goal id. Goals that changed since they were read are left for the next time: what was found of a draft says nothing
    of an active goal, nor a window's numbers of another window's."""
    held = {goal.id: goal for goal in await goals.lock_goals(session, [each.goal.id for each in subjects])}
    latest = await store.latest_evaluations(session, list(held))
    unchanged = [each for each in subjects if each.goal.id in held and held[each.goal.id].version == each.goal.version]
    histories = {
        each.goal.id: _kept_past(session, each.history, answers.pasts.get(each.goal.id), now) for each in unchanged
    }
    await session.flush()  # evaluations refer to them
    kept: dict[UUID, Evaluation] = {}
    next_looks: list[datetime | None] = []
    health: dict[UUID, Health | None] = {}
    for subject in unchanged:
        goal, history = held[subject.goal.id], histories[subject.goal.id]
        fresh, last = find(subject, answers, history, now), latest.get(goal.id)
        if last is not None and last.same_findings(fresh):
            last.checked_at, last.baseline_watermark = max(last.checked_at, now), fresh.baseline_watermark
            fresh = last
        session.add(fresh)
        kept[goal.id] = fresh
        await _decide(session, goal, fresh, subject.zone, now)
        is_open = goal.closed_at is None
        health[goal.id] = stands(goal, fresh, history, subject.zone, now).health if is_open else None
        next_looks.append(_next_look(goal, now))
    await session.flush()
    await goals.note_health(session, health)
    await goals.put_off(session, [each.goal for each in unchanged], next_looks)
    for goal_id, found in health.items():
        # Read back by nobody in this transaction; the row in memory says what the table does.
        set_committed_value(held[goal_id], "health", found)
    return kept


def _kept_past(session: AsyncSession, last: History | None, found: History | None, now: datetime) -> History | None:
    if found is None:
        return last
    if last is not None and last.same_findings(found):
        found = last
        found.checked_at = now
    session.add(found)
    return found


def _next_look(goal: Goal, now: datetime) -> datetime | None:
    if goal.closed_at is None:
        return now + EVALUATE_EVERY
    later = now + LOOK_BACK_EVERY
    return later if goal.state in DECIDED_STATES and later <= goal.closed_at + CORRECTED_FOR else None


async def _decide(session: AsyncSession, goal: Goal, found: Evaluation, zone: str, now: datetime) -> None:
    """Closes an active goal whose outcome is settled by numbers of the definition that its target was set by."""
    if goal.state is not GoalState.ACTIVE or goal.target_value is None or found.metric_version != goal.metric_version:
        return
    is_over = now >= decides_at(goal.window_days, zone)
    settled = outcome(goal.kind, found.downward, found.adds_up, found.value, goal.target_value, is_over)
    if settled is None:
        return
    goal.state, goal.closed_at, goal.closed_by, goal.closing_reason = settled.state, now, SYSTEM, settled.reason
    goal.outcome_value, goal.needs_review = found.value, True
    session.add(goal)
    event = GoalAchieved if settled.state is GoalState.ACHIEVED else GoalMissed
    await record(session, event(goal_id=goal.id, value=found.value, target_value=goal.target_value), goal.id, now)


async def _look(id: UUID, request: Request, who: CurrentPrincipal, now: Now) -> tuple[list[Subject], Answers]:
    """Asks about a goal before the route's own transaction opens, so that none is open while others are asked."""
    async with calling(request, who) as session:
        subjects = await read_subjects(session, [await goals.get_goal(session, id)], now)
    return subjects, await ask(request.app.state.upstream, who.workspace_id, subjects, now, anew=True)


# For a route that decides by the newest numbers.
Looked = Annotated[tuple[list[Subject], Answers], Depends(_look)]


async def evaluate_due_goals(app: FastAPI) -> None:
    """Evaluates every goal whose time has come, a workspace and a batch at a time."""
    database: Database = app.state.database
    now: datetime = app.state.clock()
    while True:
        async with database.worker() as session:
            due = await goals.due_goals(session, now, BATCH)
        for workspace_id, goal_ids in due.items():
            await _evaluate_some(app, workspace_id, goal_ids, now)
        if sum(map(len, due.values())) < BATCH:
            return


async def _evaluate_some(app: FastAPI, workspace_id: UUID, goal_ids: list[UUID], now: datetime) -> None:
    database: Database = app.state.database
    async with database.tenant(workspace_id) as session:
        found = await goals.get_goals(session, goal_ids)
        subjects = await read_subjects(session, found, now)
    try:
        answers = await ask(app.state.upstream, workspace_id, subjects, now)
        async with database.tenant(workspace_id) as session:
            await keep(session, subjects, answers, now)
    except Exception as problem:  # one workspace's trouble must not cost the others their turn
        if not isinstance(problem, Unavailable):
            log.error("goals_not_evaluated", extra={"workspace_id": str(workspace_id), "why": told(problem)})
        async with database.tenant(workspace_id) as session:
            await goals.put_off(session, found, [now + RETRY_AFTER] * len(found))


EVALUATE = Job("evaluate_goals", timedelta(seconds=5), evaluate_due_goals, after_events=True)
