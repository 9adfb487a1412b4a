"""Decides what numbers callers can ask for."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Query, Request

from chassis.db import Session
from chassis.errors import Invalid, NotFound, Unavailable
from chassis.identity import scope
from chassis.paging import Ids
from services.metrics.metric.rules import Definition, definition
from services.metrics.series.models import (
    QueriedSeries,
    Series,
    SeriesAnswer,
    SeriesAnswers,
    SeriesAsked,
    SeriesMetric,
    SeriesPoint,
    SeriesProblem,
    SeriesQuery,
)
from services.metrics.series.rules import (
    MOST_POINTS_TOGETHER,
    Grain,
    GroupBy,
    Period,
    Scope,
    check_span,
    completeness,
    periods,
)
from services.metrics.series.store import Basis, Group, Numbers, read_basis, read_numbers

router = APIRouter(tags=["series"])

# Series take the database seconds where all else takes milliseconds: so few at a time leave it connections.
MOST_AT_ONCE = 2
WAIT_SECONDS = 5.0
RETRY_SECONDS = 5


@asynccontextmanager
async def computing(app: FastAPI) -> AsyncIterator[None]:
    """Opens the turns that requests for series take."""
    app.state.series_turns = asyncio.Semaphore(MOST_AT_ONCE)
    yield


async def _turn(request: Request) -> AsyncIterator[None]:
    turns: asyncio.Semaphore = request.app.state.series_turns
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            await turns.acquire()
    except TimeoutError:
        raise Unavailable("too many series are asked for now", code="busy", retry_after=RETRY_SECONDS) from None
    try:
        yield
    finally:
        turns.release()


# Among the route's dependencies, which come before its parameters: who waits for a turn holds no connection yet, and
# gives the connection back before the turn. "function" ends it before the answer leaves, however slowly that is read.
TURN = Depends(_turn, scope="function")


def _points(
    metric: Definition, numbers: Numbers, group: Group, spans: list[Period], basis: Basis, scope: Scope
) -> list[SeriesPoint]:
    watermark = basis.watermark(scope.source_ids)
    points = []
    for span in spans:
        numerator = numbers.measure(group, span.start, metric.numerator, metric.bots)
        denominator = (
            numbers.measure(group, span.start, metric.denominator, metric.bots) if metric.denominator else None
        )
        points.append(
            SeriesPoint(
                start=span.start,
                value=metric.value(numerator, denominator),
                numerator=numerator,
                denominator=denominator,
                completeness=completeness(span, basis.zone, watermark),
            )
        )
    return points


def _groups(asked: Scope, numbers: Numbers) -> list[Group]:
    """Which series there are: one; one for each id asked for; or one for each that has events in the span."""
    named = {GroupBy.CAMPAIGN: asked.campaign_ids, GroupBy.SOURCE: asked.source_ids}
    if asked.group_by is None:
        return [None]
    return list(dict.fromkeys(named[asked.group_by])) or sorted(numbers.groups, key=str)


def _together(points: int) -> None:
    if points > MOST_POINTS_TOGETHER:
        raise Invalid.field("grain", f"more than {MOST_POINTS_TOGETHER} points together; ask for less at once")


def _metric(metric: Definition) -> SeriesMetric:
    return SeriesMetric(key=metric.key, version=metric.version, unit=metric.unit)


@router.get("/v1/metrics/{key}/series", dependencies=[scope("metrics:read"), TURN])
async def get_series(
    key: str,
    session: Session,
    since: Annotated[date, Query(alias="from", description="First local day.", examples=["2026-01-01"])],
    until: Annotated[date, Query(alias="to", description="First local day that no longer counts.")],
    grain: Annotated[Grain, Query(description="Weeks begin on Monday; `total` is one point.")] = Grain.MONTH,
    campaign_id: Ids = [],
    source_id: Ids = [],
    group_by: Annotated[GroupBy | None, Query(description="A series for each; without it, one over all.")] = None,
) -> SeriesAnswer:
    """A metric over time, in local days of the workspace's zone.

    Every period in [from, to) has a point, the first and the last cut to it. A rate is computed from its parts, and a
    unique count is counted anew, for every period and group: neither is ever an average or a sum of others. What a
    webhook was answered 2xx for is in it. Grouped without naming ids, every campaign (null: none) or source with events
    in the span has a series.
    """
    metric = definition(key)
    check_span(since, until)
    spans = periods(since, until, grain)
    asked = Scope(since, until, grain, tuple(campaign_id), tuple(source_id), group_by)
    basis = await read_basis(session)
    numbers = (await read_numbers(session, [(asked, metric)]))[asked]
    groups = _groups(asked, numbers)
    _together(len(groups) * len(spans))
    return SeriesAnswer(
        metric=_metric(metric),
        grain=grain,
        timezone=basis.zone,
        watermark=basis.watermark(asked.source_ids),
        series=[
            Series(
                group={group_by.value: group} if group_by else {},
                points=_points(metric, numbers, group, spans, basis, asked),
            )
            for group in groups
        ],
    )


@router.post("/v1/series/query", dependencies=[scope("metrics:read"), TURN])
async def query_series(query: SeriesQuery, session: Session) -> SeriesAnswers:
    """Up to 200 series at once, each with a span, grain, campaigns and sources of its own, in the order asked for.

    Changes nothing. An unknown metric (`not_found`), a span that is none (`invalid_span`) or too long for its grain
    (`too_many_points`) costs its own series alone, which then has a `problem`. It takes a fixed number of database
    statements, so ask for many rather than often. 503 `busy` with Retry-After while too many others ask.
    """
    asked = [_asked(each) for each in query.queries]
    sound = [each for each in asked if isinstance(each, _Asked)]
    _together(sum(len(each.spans) for each in sound))
    basis = await read_basis(session)
    numbers = await read_numbers(session, [(each.scope, each.metric) for each in sound])
    return SeriesAnswers(
        series=[
            QueriedSeries(
                metric=_metric(found.metric),
                grain=each.grain,
                timezone=basis.zone,
                watermark=basis.watermark(found.scope.source_ids),
                points=_points(found.metric, numbers[found.scope], None, found.spans, basis, found.scope),
            )
            if isinstance(found, _Asked)
            else QueriedSeries(grain=each.grain, timezone=basis.zone, problem=found)
            for each, found in zip(query.queries, asked, strict=True)
        ]
    )


@dataclass(frozen=True)
class _Asked:
    """A series of a batch that can be answered."""

    metric: Definition
    scope: Scope
    spans: list[Period]


def _asked(query: SeriesAsked) -> _Asked | SeriesProblem:
    scope = Scope(query.since, query.until, query.grain, tuple(query.campaign_ids), tuple(query.source_ids))
    try:
        metric = definition(query.metric)
        check_span(query.since, query.until)
        return _Asked(metric, scope, periods(query.since, query.until, query.grain))
    except Invalid as problem:
        return SeriesProblem(code=problem.errors[0].code, detail=f"{problem.errors[0].field}: {problem.detail}")
    except NotFound as problem:
        return SeriesProblem(code=problem.code, detail=problem.detail)
