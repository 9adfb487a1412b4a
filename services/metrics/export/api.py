"""Decides what callers can take away as a file: a metric's series, and events."""

from collections.abc import AsyncIterator
from datetime import date, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Query, Request
from fastapi.responses import StreamingResponse

from chassis.db import Database, Now, zone_of
from chassis.identity import CurrentPrincipal, Principal, scope
from chassis.paging import Ids
from services.metrics.event.rules import EventType
from services.metrics.export.models import MEDIA, Batch, written
from services.metrics.export.rules import EVENTS, OF_A_SERIES, Columns, ExportFormat
from services.metrics.export.store import Position, Wanted, events_after
from services.metrics.rollup.rules import midnight
from services.metrics.series.actions import answer_one, grades_for, points_of, quality_of
from services.metrics.series.asking import Asking, asking
from services.metrics.series.rules import Group, check_span, periods
from services.metrics.series.store import read_basis
from services.metrics.series.turns import turn

router = APIRouter(tags=["exports"])

PEOPLE = "metrics:people"
# Points in a batch of a series.
MOST_POINTS = 20_000
# Whoever has begun to get a file waits longer for its next part than a caller who has nothing yet.
PATIENCE_SECONDS = 60.0
FILE: dict[str, Any] = {
    "openapi_extra": {"x-graph": False},
    "response_class": StreamingResponse,
    "responses": {
        200: {
            "description": "The file.",
            "content": {
                "text/csv": {"schema": {"type": "string"}},
                "application/vnd.apache.parquet": {"schema": {"type": "string", "format": "binary"}},
            },
        }
    },
}
Format = Annotated[ExportFormat, Query(alias="format", description="Of a CSV's cells none is ever a formula.")]


async def _file(name: str, file: ExportFormat, columns: Columns, batches: AsyncIterator[Batch]) -> StreamingResponse:
    # What is wrong with the question shows in the first part, while it can still be an answer.
    first = await anext(batches)

    async def all_of_them() -> AsyncIterator[Batch]:
        yield first
        async for batch in batches:
            yield batch

    headers = {"Content-Disposition": f'attachment; filename="{name}.{file}"'}
    return StreamingResponse(written(file, columns, all_of_them()), media_type=MEDIA[file], headers=headers)


@router.get("/v1/metrics/{key}/series/export", dependencies=[scope("metrics:read")], **FILE)
async def export_series(
    key: str, request: Request, who: CurrentPrincipal, now: Now, asked: Annotated[Asking, Depends(asking)],
    file: Format = ExportFormat.CSV,
) -> StreamingResponse:  # fmt: skip
    """A series, or all groups' series, as a file: a line for each point. `quality` is the worst grade of the sources
    that it rests on, empty where that isn't known; `money` is exact where the value is money, in whole minor units.
    It is asked for as `/series` is. Each batch is read in a transaction of its own, so what arrives meanwhile is in
    later ones."""
    return await _file(key, file, OF_A_SERIES, _series(request.app, who, key, asked, now))


async def _series(app: FastAPI, who: Principal, key: str, asked: Asking, now: datetime) -> AsyncIterator[Batch]:
    database: Database = app.state.database
    after: tuple[Group] | None = None
    more = True
    while more:
        async with turn(app, PATIENCE_SECONDS if after else None), database.caller(who) as session:
            question = await asked.question(session, key, now)
            metric, found = question.metric, question.scope
            spans = periods(found.since, found.until, found.grain)
            basis = await read_basis(session, question.needs)
            most = max(1, MOST_POINTS // len(spans))
            numbers, groups, more = await answer_one(session, question, basis, after, most)
            quality = quality_of(question, basis, await grades_for(session, [question], basis, now), now)
            grade = quality.grade.value if quality else None
            batch = [
                (
                    metric.key, metric.version, metric.unit.value, metric.currency, group, point.start, point.value,
                    point.numerator, point.denominator, point.completeness, grade, point.money and point.money.amount,
                )
                for group in groups
                for point in points_of(question, numbers, group, spans, basis)
            ]  # fmt: skip
            after = (groups[-1],) if groups else None
        yield batch


@router.get("/v1/events/export", dependencies=[scope("metrics:read")], **FILE)
async def export_events(
    request: Request,
    who: CurrentPrincipal,
    since: Annotated[date, Query(alias="from", description="First local day.", examples=["2026-01-01"])],
    until: Annotated[date, Query(alias="to", description="First local day that no longer counts.")],
    campaign_id: Ids = [],
    source_id: Ids = [],
    type: Annotated[list[EventType], Query(description="Only these.")] = [],
    file: Format = ExportFormat.CSV,
) -> StreamingResponse:
    """Events by when they happened, as a file. Addresses are in it for those with the scope `metrics:people`. Each
    batch is read in a transaction of its own."""
    check_span(since, until)
    database: Database = request.app.state.database
    async with database.caller(who) as session:
        zone = await zone_of(session)
    wanted = Wanted(
        midnight(since, zone), midnight(until, zone), tuple(campaign_id), tuple(source_id),
        tuple(each.value for each in type), PEOPLE in who.scopes,
    )  # fmt: skip
    return await _file("events", file, EVENTS, _events(database, who, wanted))


async def _events(database: Database, who: Principal, wanted: Wanted) -> AsyncIterator[Batch]:
    after: Position | None = None
    while True:
        async with database.caller(who) as session:
            batch, after = await events_after(session, wanted, after)
        yield batch
        if after is None:
            return
