"""Decides what callers see of the catalogue of metrics."""

from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, Query

from chassis.answers import page_of
from chassis.identity import scope
from chassis.listing import Cursor, Fields, Limit, fields_of
from chassis.paging import MOST, Page, decode_cursor, encode_cursor
from services.metrics.metric.models import MetricRead
from services.metrics.metric.rules import CATALOGUE, BotPolicy, Definition, MetricDirection, MetricUnit, definition

router = APIRouter(tags=["metrics"])


@router.get("/v1/metrics/{key}", dependencies=[scope("metrics:read")])
async def get_metric(key: str, fields: Fields = fields_of(MetricRead)) -> MetricRead:
    """What one metric means."""
    return MetricRead.of(definition(key), only=fields)


@router.get("/v1/metrics", dependencies=[scope("metrics:read")])
async def list_metrics(
    key: Annotated[list[str], Query(max_length=MOST, description=f"Only these, up to {MOST}.")] = [],
    unit: Annotated[list[MetricUnit], Query(max_length=MOST)] = [],
    direction: Annotated[list[MetricDirection], Query(max_length=MOST)] = [],
    bots: Annotated[list[BotPolicy], Query(max_length=MOST)] = [],
    additive: bool | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    sort: Annotated[Literal["key", "-key", "name", "-name"], Query(description="`-` in front: downwards.")] = "key",
    fields: Fields = fields_of(MetricRead),
) -> Page[MetricRead]:
    """All that can be asked for, by key unless sorted otherwise."""
    wanted: dict[str, Sequence[object]] = {"key": key, "unit": unit, "direction": direction, "bots": bots}
    wanted |= {} if additive is None else {"additive": [additive]}
    asked = {name: values for name, values in wanted.items() if values}
    fitting = (each for each in CATALOGUE.values() if all(getattr(each, name) in asked[name] for name in asked))

    def place(each: Definition) -> list[str]:
        return [getattr(each, sort.removeprefix("-")), each.key]

    found = sorted(fitting, key=place, reverse=sort.startswith("-"))
    if cursor is not None:
        after = decode_cursor(cursor, sort, [str, str])
        found = [each for each in found if (place(each) < after if sort.startswith("-") else place(each) > after)]
    more = encode_cursor(sort, *place(found[limit - 1])) if len(found) > limit else None
    return page_of(MetricRead, [MetricRead.of(each, only=fields) for each in found[:limit]], more)
