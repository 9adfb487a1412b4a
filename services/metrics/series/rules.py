"""Decides which periods a span of days has, how complete each is, and what a series may ask for."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from uuid import UUID
from zoneinfo import ZoneInfo

from chassis.errors import Invalid

# Three years of days.
MOST_POINTS = 1100
MOST_POINTS_TOGETHER = 50_000
FIRST_DAY = date(1990, 1, 1)
LAST_DAY = date(2200, 1, 1)


class Grain(StrEnum):
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"
    TOTAL = "total"


class GroupBy(StrEnum):
    CAMPAIGN = "campaign_id"
    SOURCE = "source_id"


@dataclass(frozen=True)
class Scope:
    """Which events a series is about. No campaigns or sources named: all of them, those of no campaign too."""

    since: date
    until: date
    grain: Grain
    campaign_ids: tuple[UUID, ...] = ()
    source_ids: tuple[UUID, ...] = ()
    group_by: GroupBy | None = None


@dataclass(frozen=True)
class Period:
    """Half-open span of local days."""

    start: date
    end: date


def check_span(since: date, until: date) -> None:
    """Invalid unless the half-open span holds a day and lies in the years that dates are kept for."""
    if not FIRST_DAY <= since < until <= LAST_DAY:
        raise Invalid.field("to", f"must be after from, both between {FIRST_DAY} and {LAST_DAY}", "invalid_span")


def periods(since: date, until: date, grain: Grain) -> list[Period]:
    """Every period of the calendar in [since, until), the first and last cut to it; weeks begin on Monday (ISO 8601).

    Invalid when there are more than MOST_POINTS.
    """
    found: list[Period] = []
    for period in _periods(since, until, grain):
        if len(found) == MOST_POINTS:
            words = f"more than {MOST_POINTS} points; take a longer grain or a shorter span"
            raise Invalid.field("grain", words, "too_many_points")
        found.append(period)
    return found


def _periods(since: date, until: date, grain: Grain) -> Iterator[Period]:
    start = since
    while start < until:
        end = until if grain is Grain.TOTAL else min(until, _next(start, grain))
        yield Period(start, end)
        start = end


def _next(day: date, grain: Grain) -> date:
    """The first day of the period after the one that holds the day."""
    if grain is Grain.DAY:
        return day + timedelta(days=1)
    if grain is Grain.WEEK:
        return day + timedelta(days=7 - day.weekday())
    if grain is Grain.YEAR:
        return date(day.year + 1, 1, 1)
    months = 1 if grain is Grain.MONTH else 3 - (day.month - 1) % 3
    years, month = divmod(day.month - 1 + months, 12)
    return date(day.year + years, month + 1, 1)


def completeness(period: Period, zone: str, watermark: datetime | None) -> float:
    """Which share of a period, 0 to 1, lies before the watermark: when the latest post arrived."""
    if watermark is None:
        return 0.0
    begins, ends = _midnight(period.start, zone), _midnight(period.end, zone)
    return min(1.0, max(0.0, (watermark - begins) / (ends - begins)))


def _midnight(day: date, zone: str) -> datetime:
    return datetime.combine(day, time(), ZoneInfo(zone)).astimezone(UTC)
