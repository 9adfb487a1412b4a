"""Decides what numbers callers can ask for."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends

from chassis.db import Now, Session, zone_of
from chassis.errors import Invalid, NotFound
from chassis.identity import scope
from chassis.listing import Cursor, Limit
from chassis.paging import MOST, decode_cursor, encode_cursor
from services.metrics.metric.rules import Definition
from services.metrics.metric.store import Definitions, definitions
from services.metrics.series.actions import (
    MOST_RAW_TOGETHER,
    Question,
    answer_many,
    answer_one,
    grades_for,
    points_of,
    quality_of,
)
from services.metrics.series.asking import Asking, asking
from services.metrics.series.models import (
    QueriedSeries,
    Series,
    SeriesAnswer,
    SeriesAnswers,
    SeriesAsked,
    SeriesMetric,
    SeriesProblem,
    SeriesQuery,
)
from services.metrics.series.rules import MOST_POINTS_TOGETHER, Group, GroupBy, Scope, periods
from services.metrics.series.store import read_basis
from services.metrics.series.turns import TURN

router = APIRouter(tags=["series"])


def _together(points: int) -> None:
    if points > MOST_POINTS_TOGETHER:
        raise Invalid.field("grain", f"more than {MOST_POINTS_TOGETHER} points together; ask for less at once")


def _metric(metric: Definition) -> SeriesMetric:
    return SeriesMetric(key=metric.key, version=metric.version, unit=metric.unit, currency=metric.currency)


@router.get("/v1/metrics/{key}/series", dependencies=[scope("metrics:read"), TURN])
async def get_series(
    key: str, session: Session, now: Now, asked: Annotated[Asking, Depends(asking)], limit: Limit = MOST,
    cursor: Cursor = None,
) -> SeriesAnswer:  # fmt: skip
    """A metric over time, in local days of the workspace's zone.

    Every period in [from, to) has a point, the first and the last cut to it. A rate is computed from its parts, and a
    unique count is counted anew, for every period and group: neither is ever an average or a sum of others. What a
    webhook was answered 2xx for is in it. Grouped without naming any, every campaign (null: none), source, message or
    link with events in the span has a series, page by page.

    `as_of` answers what was known then, by when events arrived and observations were recorded; campaigns and verdicts
    are those of now. It is counted from the events themselves, as is anything by message or link: 422
    `beyond_retention` where these may be gone.
    """
    question = await asked.question(session, key, now)
    spans = periods(question.scope.since, question.scope.until, question.scope.grain)
    basis = await read_basis(session, question.needs)
    after = None if cursor is None else _after(cursor, asked.group_by)
    numbers, groups, more = await answer_one(session, question, basis, after, limit)
    _together(len(groups) * len(spans))
    grades = await grades_for(session, [question], basis, now)
    return SeriesAnswer(
        metric=_metric(question.metric),
        grain=question.scope.grain,
        timezone=basis.zone,
        watermark=basis.watermark(question.scope, question.needs),
        as_of=question.scope.as_of,
        quality=quality_of(question, basis, grades, now),
        series=[
            Series(
                group={asked.group_by.value: group} if asked.group_by else {},
                points=points_of(question, numbers, group, spans, basis),
            )
            for group in groups
        ],
        next_cursor=encode_cursor(f"{asked.group_by}", groups[-1] or "") if more else None,
    )


def _after(cursor: str, group_by: GroupBy | None) -> tuple[Group]:
    # Nothing comes after the nameless, so that no cursor ever holds them.
    (after,) = decode_cursor(cursor, f"{group_by}", [str])
    return (after,)


@router.post("/v1/series/query", dependencies=[scope("metrics:read"), TURN])
async def query_series(query: SeriesQuery, session: Session, now: Now) -> SeriesAnswers:
    """Up to 200 series at once, each with a span, grain, campaigns and sources of its own, in the order asked for.

    Changes nothing. An unknown metric (`not_found`), a span that is none (`invalid_span`) or too long for its grain
    (`too_many_points`) costs its own series alone, which then has a `problem`. It takes a fixed number of database
    statements, so ask for many rather than often; but for those that are counted from events (`as_of`, unique
    deliveries), of which ten at once are the most.
    503 `busy` with Retry-After while too many others ask.
    """
    known = await definitions(session, {(each.metric, each.version) for each in query.queries})
    zone = await zone_of(session)
    asked = [_asked(each, known, zone, now) for each in query.queries]
    sound = [each for each in asked if isinstance(each, Question)]
    _together(sum(len(periods(each.scope.since, each.scope.until, each.scope.grain)) for each in sound))
    basis = await read_basis(session, [each for question in sound for each in question.needs])
    numbers = await answer_many(session, sound, basis, MOST_RAW_TOGETHER)
    grades = await grades_for(session, sound, basis, now)
    return SeriesAnswers(
        series=[
            QueriedSeries(
                metric=_metric(found.metric),
                grain=each.grain,
                timezone=basis.zone,
                watermark=basis.watermark(found.scope, found.needs),
                as_of=found.scope.as_of,
                quality=quality_of(found, basis, grades, now),
                points=points_of(found, numbers[found.scope], None, periods(each.since, each.until, each.grain), basis),
            )
            if isinstance(found, Question)
            else QueriedSeries(grain=each.grain, timezone=basis.zone, problem=found)
            for each, found in zip(query.queries, asked, strict=True)
        ]
    )


def _asked(query: SeriesAsked, known: Definitions, zone: str, now: datetime) -> Question | SeriesProblem:
    found = Scope(
        query.since, query.until, query.grain, tuple(query.campaign_ids), tuple(query.source_ids), as_of=query.as_of
    )
    try:
        return Question.of(known.get(query.metric, query.version), known.book, found, zone, now)
    except Invalid as problem:
        return SeriesProblem(code=problem.errors[0].code, detail=f"{problem.errors[0].field}: {problem.detail}")
    except NotFound as problem:
        return SeriesProblem(code=problem.code, detail=problem.detail)
