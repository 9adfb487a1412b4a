"""Decides what callers see of the catalogue of metrics."""

from typing import Annotated

from fastapi import APIRouter, Query

from chassis.identity import scope
from chassis.paging import MOST, Page, decode_cursor, encode_cursor
from services.metrics.metric.models import MetricRead
from services.metrics.metric.rules import CATALOGUE, definition

router = APIRouter(tags=["metrics"])


@router.get("/v1/metrics/{key}", dependencies=[scope("metrics:read")])
async def get_metric(key: str) -> MetricRead:
    """What one metric means."""
    return MetricRead.model_validate(definition(key))


@router.get("/v1/metrics", dependencies=[scope("metrics:read")])
async def list_metrics(
    key: Annotated[list[str], Query(max_length=MOST, description=f"Only these, up to {MOST}.")] = [],
    limit: Annotated[int, Query(ge=1, le=MOST, description="Items in a page.")] = 50,
    cursor: Annotated[str | None, Query(max_length=2000, description="`next_cursor` of the page before.")] = None,
) -> Page[MetricRead]:
    """All that can be asked for, by key."""
    after = decode_cursor(cursor, "key", [str])[0] if cursor else ""
    found = sorted(each for each in CATALOGUE if each > after and (not key or each in key))
    items = [MetricRead.model_validate(CATALOGUE[each]) for each in found[:limit]]
    return Page(items=items, next_cursor=encode_cursor("key", items[-1].key) if len(found) > limit else None)
