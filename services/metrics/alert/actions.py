"""Decides when alerts are looked at, and what is told of what they find."""

import logging
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import Database
from chassis.errors import MopsError
from chassis.jobs import Job
from chassis.outbox import record
from services.metrics.alert import store
from services.metrics.alert.models import Alert, AnomalyFound, ThresholdCrossed
from services.metrics.alert.rules import AlertKind, Found, Point, Watch, judge, span_of
from services.metrics.event.rules import first_whole_day
from services.metrics.metric.rules import MetricUnit, only_rises
from services.metrics.metric.store import definitions
from services.metrics.quality.rules import QualityGrade
from services.metrics.series.actions import Question, answer_many, grades_for, points_of, quality_of
from services.metrics.series.beginning import first_days
from services.metrics.series.numbers import Numbers
from services.metrics.series.rules import Scope, periods
from services.metrics.series.store import Basis, read_basis

log = logging.getLogger("mops.alerts")

# A day is over, and so complete, without any number changing.
AT_LEAST = timedelta(hours=1)


async def look_at_alerts(app: FastAPI) -> None:
    """Every workspace whose numbers changed, each in a transaction of its own: one that fails comes round again."""
    database: Database = app.state.database
    async with database.worker() as session:
        waiting = await store.stale_watches(session, app.state.clock() - AT_LEAST)
    for workspace_id in waiting:
        try:
            async with database.tenant(workspace_id) as session:
                await look(session, app.state.clock())
        except Exception:  # whatever is wrong with one workspace, the others are told
            log.exception("alerts_not_looked_at", extra={"workspace_id": str(workspace_id)})


WATCH = Job("look_at_alerts", timedelta(seconds=30), look_at_alerts, after_events=True)


async def look(session: AsyncSession, now: datetime) -> int:
    """Looks at all alerts of a workspace over its numbers as they are; how many points were told."""
    changes = await store.changes_of(session)
    alerts = await store.active_alerts(session)
    known = await definitions(session, {(alert.metric, None) for alert in alerts})
    basis = await read_basis(session)
    today = now.astimezone(ZoneInfo(basis.zone)).date()
    asked: list[tuple[Alert, Question]] = []
    for alert in alerts:
        span = span_of(today, alert.grain, alert.kind, alert.weeks, first_whole_day(now))
        scope = Scope(span.start, span.end, alert.grain, tuple(alert.campaign_ids))
        try:
            asked.append((alert, Question.of(known.get(alert.metric), known.book, scope, basis.zone, now)))
        except MopsError as problem:
            # The metric was changed so that this can't be asked of it any more: it costs this alert alone.
            log.warning("alert_not_looked_at", extra={"alert_id": str(alert.id), "why": problem.code})
    basis = await read_basis(session, {each for _, question in asked for each in question.needs})
    numbers = await answer_many(session, [question for _, question in asked], basis)
    grades = await grades_for(session, [question for _, question in asked], basis, now)
    seasonal = {(question.scope, question.needs) for alert, question in asked if alert.kind is AlertKind.ANOMALY}
    first = await first_days(session, seasonal) if seasonal else {}
    told = 0
    for alert, question in asked:
        points = _points(question, numbers[question.scope], basis)
        began = first.get((question.scope, question.needs))
        for found in judge(_watch(alert, question), points, alert.since, began):
            quality = quality_of(question, basis, grades, now)
            told += await _tell(session, alert, question, found, quality.grade if quality else None, now)
    await store.note_look(session, changes, now)
    return told


def _watch(alert: Alert, question: Question) -> Watch:
    counts = question.metric.unit is MetricUnit.COUNT
    grows = counts and only_rises(question.metric, question.book)
    return Watch(alert.kind, alert.value, alert.sensitivity, alert.weeks, grows, counts)


def _points(question: Question, numbers: Numbers, basis: Basis) -> list[Point]:
    spans = periods(question.scope.since, question.scope.until, question.scope.grain)
    return [
        Point(each.start, None if each.value is None else float(each.value), each.completeness)
        for each in points_of(question, numbers, None, spans, basis)
    ]


async def _tell(
    session: AsyncSession, alert: Alert, question: Question, found: Found, quality: QualityGrade | None, now: datetime
) -> int:
    finding_id = await store.add_finding(session, alert, found, question.metric.version, quality, now)
    if finding_id is None:
        return 0
    about: dict[str, Any] = {
        "alert_id": alert.id, "finding_id": finding_id, "name": alert.name, "metric": alert.metric,
        "metric_version": question.metric.version, "campaign_ids": alert.campaign_ids, "start": found.start,
        "value": found.value, "quality": quality,
    }  # fmt: skip
    if alert.kind is AlertKind.ANOMALY:
        event: Any = AnomalyFound(**about, expected=found.expected or 0.0, deviation=found.deviation or 0.0)
    else:
        event = ThresholdCrossed(**about, kind=alert.kind, limit=alert.value or 0.0)
    await record(session, event, alert.id, now)
    return 1
