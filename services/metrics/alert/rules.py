"""Decides when a number is worth telling: it crossed a line, or it isn't what that weekday's numbers have been."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from statistics import median

from services.metrics.series.rules import Grain, Period, periods

# How many periods back an alert looks: what arrives later than that is history.
LOOKBACK = 7
FEWEST_WEEKS = 4
# What makes a median absolute deviation the standard deviation of normally distributed numbers.
NORMAL = 1.4826
# Where a history hardly varies, so much of its median is no news.
SLACK = 0.05


class AlertKind(StrEnum):
    ABOVE = "above"
    BELOW = "below"
    ANOMALY = "anomaly"


class AlertState(StrEnum):
    ACTIVE = "active"
    PAUSED = "paused"


@dataclass(frozen=True)
class Point:
    """A number of one period, and how much of that period is known."""

    start: date
    value: float | None
    completeness: float


@dataclass(frozen=True)
class Watch:
    """What is watched for. `limit` is the line of a threshold; `sensitivity` how many deviations make an anomaly, over
    so many `weeks`. `grows`: the value of a period only rises while it lasts. `counts`: it is a count."""

    kind: AlertKind
    limit: float | None = None
    sensitivity: float = 3.5
    weeks: int = 8
    grows: bool = False
    counts: bool = False


@dataclass(frozen=True)
class Found:
    """A point that is worth telling: beside what was expected, and how far from it in deviations."""

    start: date
    value: float
    expected: float | None = None
    deviation: float | None = None


def span_of(today: date, grain: Grain, kind: AlertKind, weeks: int, kept: date = date.min) -> Period:
    """The days whose numbers are needed: the periods that are judged, and of anomalies those they are held against.
    None from before events are `kept`: no number of then changes any more."""
    back = {Grain.DAY: 1, Grain.WEEK: 7, Grain.MONTH: 31, Grain.QUARTER: 92, Grain.YEAR: 366, Grain.TOTAL: 366}[grain]
    days = LOOKBACK * back + (weeks * 7 if kind is AlertKind.ANOMALY else 0)
    reach = Period(today - timedelta(days=days), today + timedelta(days=1))
    # From where a period begins, so that none is cut.
    first = periods(reach.start - timedelta(days=back), reach.end, grain)
    start = next((each.start for each in first[1:] if each.start >= max(reach.start, kept)), reach.start)
    return Period(start, reach.end)


def judge(watch: Watch, points: Sequence[Point], since: date, first: date | None = date.min) -> list[Found]:
    """The points worth telling among the last ones that begin on `since` or later. `first` is the day on which there
    was anything to count: the days before are none on which nothing happened. None: there is nothing yet."""
    judged = [each for each in points[-LOOKBACK:] if each.start >= since and each.value is not None]
    if watch.kind is AlertKind.ANOMALY:
        known = {
            each.start: each.value
            for each in points
            if each.value is not None and each.completeness >= 1 and first is not None and each.start >= first
        }
        found = (anomaly(watch, each.start, known) for each in judged if each.start in known)
        return [each for each in found if each is not None]
    return [Found(each.start, each.value) for each in judged if each.value is not None and _crossed(watch, each)]


def _crossed(watch: Watch, point: Point) -> bool:
    value, limit = point.value, watch.limit
    if value is None or limit is None:
        return False
    if watch.kind is AlertKind.ABOVE:
        # Of what can only rise it is known before the period is over.
        return value > limit and (watch.grows or point.completeness >= 1)
    return value < limit and point.completeness >= 1


def anomaly(watch: Watch, day: date, known: Mapping[date, float]) -> Found | None:
    """The day if it is out of the ordinary for its weekday: further than `sensitivity` deviations from the median m of
    that weekday in the `weeks` before. A deviation is the greatest of 1.4826 times the median absolute deviation from
    m, a twentieth of m, and for counts the root of m. None with fewer than four weeks to compare with."""
    past = [known[each] for n in range(1, watch.weeks + 1) if (each := day - timedelta(days=7 * n)) in known]
    if len(past) < FEWEST_WEEKS:
        return None
    middle = median(past)
    spread = NORMAL * median(abs(each - middle) for each in past)
    least = max(SLACK * abs(middle), math.sqrt(max(middle, 1.0)) if watch.counts else 0.0)
    deviation = max(spread, least)
    if deviation == 0:
        return None
    far = (known[day] - middle) / deviation
    return Found(day, known[day], middle, far) if abs(far) > watch.sensitivity else None
