"""Decides what callers see of how good sources are."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from chassis.db import Now, Reading
from chassis.errors import NotFound
from chassis.identity import scope
from chassis.paging import MOST, Page
from services.metrics.quality.actions import grade
from services.metrics.quality.models import QualityDay, QualityParts, SourceQuality
from services.metrics.quality.rules import DAYS, Hour, Steps, parts_of, score_of
from services.metrics.quality.store import Told, told_by

router = APIRouter(tags=["sources"])

Days = Annotated[int, Query(ge=1, le=30, description="How far back to look.")]
SourceIds = Annotated[list[UUID], Query(min_length=1, max_length=MOST, description=f"Of these sources, up to {MOST}.")]


@router.get("/v1/sources/{id}/quality", dependencies=[scope("metrics:read")])
async def get_source_quality(id: UUID, reading: Reading, now: Now, days: Days = DAYS) -> SourceQuality:
    """How good what a source tells is: a score with its parts, and by day."""
    found = await _quality(reading, [id], now, days)
    if not found:
        raise NotFound(f"no source {id}")
    return found[0]


@router.get("/v1/source-quality", dependencies=[scope("metrics:read")])
async def list_source_quality(
    source_id: SourceIds, reading: Reading, now: Now, days: Days = DAYS
) -> Page[SourceQuality]:
    """The same of many sources; those that don't exist are left out."""
    return Page(items=await _quality(reading, source_id, now, days))


async def _quality(reading: Reading, ids: Sequence[UUID], now: datetime, days: int) -> list[SourceQuality]:
    since = now - timedelta(days=days)
    return [_told(each, now, days) for each in await told_by(reading, ids, since, since.date().replace(day=1))]


def _told(told: Told, now: datetime, days: int) -> SourceQuality:
    parts = parts_of(told.hours, told.steps, told.last_at, now)
    of_days: dict[date, list[Hour]] = {}
    for hour in told.hours:
        of_days.setdefault(hour.at.date(), []).append(hour)
    return SourceQuality(
        source_id=told.source_id, days=days, grade=grade(told, now),
        score=_rounded(score_of(parts)),
        parts=QualityParts(**{name: _rounded(value) for name, value in vars(parts).items()}),
        by_day=[_day(day, hours, now) for day, hours in sorted(of_days.items())],
    )  # fmt: skip


def _day(day: date, hours: Sequence[Hour], now: datetime) -> QualityDay:
    parts = parts_of(hours, Steps(), None, now)
    return QualityDay(
        day=day, score=_rounded(score_of(parts)), completeness=_rounded(parts.completeness),
        validity=_rounded(parts.validity), uniqueness=_rounded(parts.uniqueness),
    )  # fmt: skip


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
