"""Decides how goals are evaluated: read, ask, judge, keep. No transaction is open while metrics or budget is asked."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import Database, zone_of
from chassis.errors import Unavailable
from chassis.jobs import Job
from chassis.problems import told
from services.goals.goal import store
from services.goals.goal.models import Evaluation, Goal
from services.goals.goal.rules import EVALUATE_EVERY, Days, GoalState, resolve_target, scale_between
from services.goals.goal.smart import Facts, judge
from services.goals.objective import store as objectives
from services.goals.upstream import Definition, Question, Total, Upstream

log = logging.getLogger("mops.goals")

BATCH = 100
RETRY_AFTER = timedelta(seconds=5)
ONE = Decimal(1)


@dataclass(frozen=True)
class Subject:
    """A goal as it was read, and what goals itself knows of it."""

    goal: Goal
    campaigns: tuple[UUID, ...]
    objective: str | None
    today: date

    def question(self, span: Days | None) -> Question | None:
        return Question(self.goal.metric_key, span.start, span.end, self.campaigns) if span else None


@dataclass(frozen=True)
class Answers:
    """What others said. `definitions` is None when metrics couldn't be asked."""

    definitions: dict[str, Definition] | None
    totals: dict[Question, Total]
    money: dict[UUID, Decimal]


AWAY = Answers(None, {}, {})


async def read_subjects(session: AsyncSession, goals: Sequence[Goal], now: datetime) -> list[Subject]:
    """The goals with their campaigns and objectives."""
    campaigns = await store.campaigns_of(session, [goal.id for goal in goals])
    names = await objectives.names_of(session, [goal.objective_id for goal in goals if goal.objective_id])
    today = now.astimezone(ZoneInfo(await zone_of(session))).date()
    return [
        Subject(goal, tuple(campaigns[goal.id]), names.get(goal.objective_id) if goal.objective_id else None, today)
        for goal in goals
    ]


async def ask(upstream: Upstream, workspace_id: UUID, subjects: Sequence[Subject]) -> Answers:
    """Three calls for up to a hundred goals. Raises Unavailable when metrics doesn't answer."""
    definitions = await upstream.definitions(workspace_id, [each.goal.metric_key for each in subjects])
    questions = [
        question
        for each in subjects
        if each.goal.metric_key in definitions
        for question in (each.question(each.goal.window_days), each.question(each.goal.baseline_days))
        if question
    ]
    totals = dict(zip(questions, await upstream.totals(workspace_id, questions), strict=True))
    try:
        money = await upstream.available(workspace_id, [each for subject in subjects for each in subject.campaigns])
    except Unavailable:
        money = {}  # what may be spent colours one letter; it isn't worth losing the rest for
    return Answers(definitions, totals, money)


def find(subject: Subject, answers: Answers, now: datetime) -> Evaluation:
    """A goal's evaluation by these answers; an active goal keeps its pinned target, whatever arrives late."""
    goal = subject.goal
    definition = (answers.definitions or {}).get(goal.metric_key)
    adds_up = definition.adds_up if definition else False
    days = goal.baseline_days
    scale = scale_between(days, goal.window_days) if adds_up and days else ONE

    def total(span: Days | None) -> Total | None:
        question = subject.question(span)
        return answers.totals.get(question) if question else None

    measured, before = total(goal.window_days), total(days)
    baseline = before.value if before else None
    target = resolve_target(goal.kind, goal.change_percent, goal.asked_value, baseline, scale)
    if goal.state is not GoalState.DRAFT:
        baseline, target = goal.baseline_value, goal.target_value
    known = [answers.money[each] for each in subject.campaigns if each in answers.money]
    facts = Facts(
        metric_key=goal.metric_key, campaigns=len(subject.campaigns),
        metric_known=None if answers.definitions is None else definition is not None,
        unit=definition.unit if definition else None, baseline_days=days, baseline=baseline,
        needs_baseline=goal.change_percent is not None, target=target, scale=scale, objective=subject.objective,
        relevance=goal.relevance, available=str(sum(known)) if known else None, window=goal.window_days,
        today=subject.today,
    )  # fmt: skip
    return Evaluation(
        workspace_id=goal.workspace_id, goal_id=goal.id, evaluated_at=now, checked_at=now,
        metric_version=definition.version if definition else None, adds_up=adds_up,
        value=measured.value if measured else None, baseline=baseline, target=target,
        baseline_watermark=before.watermark if before else None,
        smart=[
            {"letter": each.letter, "verdict": each.verdict, "reason": each.reason, "evidence": each.evidence}
            for each in judge(facts)
        ],
    )  # fmt: skip


async def keep(
    session: AsyncSession, subjects: Sequence[Subject], answers: Answers, now: datetime
) -> dict[UUID, Evaluation]:
    """Keeps what was found, as a new evaluation where it differs from the last; by goal id. Goals that changed state
    since they were read are left for the next time: what was found of a draft says nothing of an active goal."""
    held = {goal.id: goal.state for goal in await store.lock_goals(session, [each.goal.id for each in subjects])}
    latest = await store.latest_evaluations(session, list(held))
    kept: dict[UUID, Evaluation] = {}
    for subject in subjects:
        if held.get(subject.goal.id) is not subject.goal.state:
            continue
        fresh, last = find(subject, answers, now), latest.get(subject.goal.id)
        if last is not None and last.same_findings(fresh):
            last.checked_at, last.baseline_watermark = max(last.checked_at, now), fresh.baseline_watermark
            fresh = last
        session.add(fresh)
        kept[subject.goal.id] = fresh
    await session.flush()
    await store.put_off(
        session, [subject.goal for subject in subjects if subject.goal.id in kept], now + EVALUATE_EVERY
    )
    return kept


async def evaluate_due_goals(app: FastAPI) -> None:
    """Evaluates every open goal whose time has come, a workspace and a batch at a time."""
    database: Database = app.state.database
    now: datetime = app.state.clock()
    while True:
        async with database.worker() as session:
            due = await store.due_goals(session, now, BATCH)
        for workspace_id, goal_ids in due.items():
            await _evaluate_some(app, workspace_id, goal_ids, now)
        if sum(map(len, due.values())) < BATCH:
            return


async def _evaluate_some(app: FastAPI, workspace_id: UUID, goal_ids: list[UUID], now: datetime) -> None:
    database: Database = app.state.database
    async with database.tenant(workspace_id) as session:
        goals = await store.get_goals(session, goal_ids)
        subjects = await read_subjects(session, goals, now)
    try:
        answers = await ask(app.state.upstream, workspace_id, subjects)
        async with database.tenant(workspace_id) as session:
            await keep(session, subjects, answers, now)
    except Exception as problem:  # one workspace's trouble must not cost the others their turn
        if not isinstance(problem, Unavailable):
            log.error("goals_not_evaluated", extra={"workspace_id": str(workspace_id), "why": told(problem)})
        async with database.tenant(workspace_id) as session:
            await store.put_off(session, goals, now + RETRY_AFTER)


EVALUATE = Job("evaluate_goals", timedelta(seconds=5), evaluate_due_goals, after_events=True)
