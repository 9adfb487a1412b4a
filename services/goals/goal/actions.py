"""Decides how goals are evaluated: the one use case that routes, events and the schedule share."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import Database, workspace_of
from chassis.errors import Unavailable
from chassis.jobs import Job
from services.goals.goal import store
from services.goals.goal.models import Evaluation, Goal
from services.goals.goal.rules import EVALUATE_EVERY, Days, GoalState, resolve_target, scale_between
from services.goals.goal.smart import Facts, judge
from services.goals.objective import store as objectives
from services.goals.upstream import Definition, Question, Total, Upstream

BATCH = 100
RETRY_AFTER = timedelta(seconds=5)
ONE = Decimal(1)


async def zone_of(session: AsyncSession) -> str:
    return str(
        await session.scalar(text("SELECT zone FROM workspace WHERE workspace_id = :id"), {"id": workspace_of(session)})
    )


async def evaluate(
    session: AsyncSession, upstream: Upstream, goals: Sequence[Goal], now: datetime
) -> dict[UUID, Evaluation]:
    """Looks at the goals' metrics and money and keeps what is found, as a new evaluation where it differs from the
    last. Three calls for up to a hundred goals. Raises Unavailable when metrics doesn't answer; then nothing is kept.
    """
    workspace_id = workspace_of(session)
    campaigns = await store.campaigns_of(session, [goal.id for goal in goals])
    definitions = await upstream.definitions(workspace_id, [goal.metric_key for goal in goals])
    questions: list[Question] = []
    for goal in goals:
        if goal.metric_key in definitions:
            scope = tuple(campaigns[goal.id])
            spans = [goal.window_days, goal.baseline_days] if goal.baseline_days else [goal.window_days]
            questions += [Question(goal.metric_key, span.start, span.end, scope) for span in spans]
    answers = dict(zip(questions, await upstream.totals(workspace_id, questions), strict=True))
    try:
        money = await upstream.available(workspace_id, [each for ids in campaigns.values() for each in ids])
    except Unavailable:
        money = {}  # what may be spent colours one letter; it isn't worth losing the rest for
    names = await objectives.names_of(session, [goal.objective_id for goal in goals if goal.objective_id])
    today = now.astimezone(ZoneInfo(await zone_of(session))).date()
    latest = await store.latest_evaluations(session, [goal.id for goal in goals])
    found: dict[UUID, Evaluation] = {}
    for goal in goals:
        scope = tuple(campaigns[goal.id])
        fresh = _evaluation(goal, scope, definitions.get(goal.metric_key), answers, now)
        spendable = sum((money[each] for each in scope if each in money), Decimal(0))
        facts = Facts(
            title=goal.title, metric_key=goal.metric_key, campaigns=len(scope),
            metric_known=goal.metric_key in definitions,
            unit=definitions[goal.metric_key].unit if goal.metric_key in definitions else None,
            grain_days=1, baseline_days=goal.baseline_days, baseline=fresh.baseline,
            needs_baseline=goal.change_percent is not None, target=fresh.target, scale=_scale(goal, fresh.adds_up),
            objective=names.get(goal.objective_id) if goal.objective_id else None, relevance=goal.relevance,
            available=str(spendable) if any(each in money for each in scope) else None,
            window=Days(goal.window_start, goal.window_due), today=today,
        )  # fmt: skip
        fresh.smart = [
            {"letter": each.letter, "verdict": each.verdict, "reason": each.reason, "evidence": each.evidence}
            for each in judge(facts)
        ]
        last = latest.get(goal.id)
        if last is not None and last.same_findings(fresh):
            last.checked_at, last.baseline_watermark = now, fresh.baseline_watermark
            fresh = last
        session.add(fresh)
        found[goal.id] = fresh
    await session.flush()
    await store.put_off(session, goals, now + EVALUATE_EVERY)
    return found


def _scale(goal: Goal, adds_up: bool) -> Decimal:
    days = goal.baseline_days
    return scale_between(days, goal.window_days) if adds_up and days else ONE


def _evaluation(
    goal: Goal, scope: tuple[UUID, ...], definition: Definition | None, answers: dict[Question, Total], now: datetime
) -> Evaluation:
    """What was found; an active goal keeps its pinned target and baseline, whatever arrives late."""

    def total(span: Days | None) -> Total | None:
        return answers.get(Question(goal.metric_key, span.start, span.end, scope)) if span else None

    adds_up = definition.adds_up if definition else False
    measured, before = total(goal.window_days), total(goal.baseline_days)
    baseline = before.value if before else None
    target = resolve_target(goal.kind, goal.change_percent, goal.asked_value, baseline, _scale(goal, adds_up))
    if goal.state is not GoalState.DRAFT:
        baseline, target = goal.baseline_value, goal.target_value
    return Evaluation(
        workspace_id=goal.workspace_id, goal_id=goal.id, evaluated_at=now, checked_at=now,
        metric_version=definition.version if definition else None, adds_up=adds_up,
        value=measured.value if measured else None, baseline=baseline, target=target,
        baseline_watermark=before.watermark if before else None, smart=[],
    )  # fmt: skip


async def evaluate_due_goals(app: FastAPI) -> None:
    """Evaluates every open goal whose time has come, a workspace and a batch at a time."""
    database: Database = app.state.database
    now: datetime = app.state.clock()
    while True:
        async with database.worker() as session:
            due = await store.due_goals(session, now, BATCH)
        for workspace_id, goal_ids in due.items():
            async with database.tenant(workspace_id) as session:
                goals = await store.get_goals(session, goal_ids)
                try:
                    await evaluate(session, app.state.upstream, goals, now)
                except Unavailable:
                    await store.put_off(session, goals, now + RETRY_AFTER)
        if sum(map(len, due.values())) < BATCH:
            return


EVALUATE = Job("evaluate_goals", timedelta(seconds=5), evaluate_due_goals, after_events=True)
