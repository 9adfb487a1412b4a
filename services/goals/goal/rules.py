"""Decides what a goal asks for as a number, and how far along the way to it a value is."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from zoneinfo import ZoneInfo

# A path is a plan, not a promise: so much behind it is still on track, so much still only at risk.
ON_TRACK, AT_RISK = 0.95, 0.80


class GoalKind(StrEnum):
    INCREASE = "increase"
    DECREASE = "decrease"
    REACH = "reach"
    KEEP_ABOVE = "keep_above"
    KEEP_BELOW = "keep_below"


class GoalState(StrEnum):
    DRAFT = "draft"
    ACTIVE = "active"
    ACHIEVED = "achieved"
    MISSED = "missed"
    CANCELLED = "cancelled"


class Health(StrEnum):
    ON_TRACK = "on_track"
    AT_RISK = "at_risk"
    OFF_TRACK = "off_track"


OPEN_STATES = (GoalState.DRAFT, GoalState.ACTIVE)
DOWNWARD = (GoalKind.DECREASE, GoalKind.KEEP_BELOW)
KEEPING = (GoalKind.KEEP_ABOVE, GoalKind.KEEP_BELOW)


@dataclass(frozen=True)
class Days:
    """Half-open span of local days."""

    start: date
    end: date

    def __len__(self) -> int:
        return (self.end - self.start).days


def whole_months(span: Days) -> int | None:
    """How many calendar months the span is, if it is a whole number of them."""
    if span.start.day != span.end.day:
        return None
    return (span.end.year - span.start.year) * 12 + span.end.month - span.start.month


def scale_between(baseline: Days, window: Days) -> Decimal:
    """How much longer the window is than the baseline. A year is as long as a leap year, March as long as April."""
    months = whole_months(baseline), whole_months(window)
    if months[0] and months[1]:
        return Decimal(months[1]) / Decimal(months[0])
    return Decimal(len(window)) / Decimal(len(baseline))


def resolve_target(
    kind: GoalKind, change_percent: Decimal | None, value: float | None, baseline: float | None, scale: Decimal
) -> float | None:
    """The number a goal asks for: the value named, or the baseline changed by so many percent, upwards or downwards.

    `scale` stretches a baseline that adds up to the length of the window; 1 for rates. None without a baseline.
    """
    if value is not None:
        return value
    if change_percent is None or baseline is None:
        return None
    change = -change_percent if kind in DOWNWARD else change_percent
    return float(Decimal(str(baseline)) * scale * (100 + change) / 100)


def elapsed_share(window: Days, zone: str, now: datetime) -> float:
    """How much of the window has passed: 0 before it, 1 after it. Days begin at local midnight."""
    start, end = (datetime.combine(day, time.min, ZoneInfo(zone)).astimezone(UTC) for day in (window.start, window.end))
    return min(1.0, max(0.0, (now - start) / (end - start)))


@dataclass(frozen=True)
class Standing:
    """Where a goal stands: `share` of the way gone, where a straight path would be by now, where it leads at due."""

    share: float | None
    expected: float | None
    forecast: float | None
    health: Health | None


def standing(
    kind: GoalKind, value: float | None, baseline: float | None, target: float | None, elapsed: float, adds_up: bool
) -> Standing:
    """Judges a value against the straight path to the target.

    A metric that adds up starts its window at 0 and runs to the target; a rate starts at the baseline (or at 0 without
    one). A value to be kept has no way to go: its path is the target itself.
    """
    # A quarter more than nothing is nothing: no path leads there.
    if target is None or (adds_up and target == 0 and kind not in KEEPING):
        return Standing(None, None, None, None)
    start = target if kind in KEEPING and not adds_up else 0.0 if adds_up else (baseline or 0.0)
    expected = start + (target - start) * elapsed
    if value is None:
        return Standing(None, expected, None, None)
    forecast = (value / elapsed if elapsed > 0 else None) if adds_up else value
    done, way = (value - start, target - start) if target != start else (value, target)
    health = _health(kind, value, start, expected) if elapsed > 0 else None
    return Standing(done / way if way else None, expected, forecast, health)


def _health(kind: GoalKind, value: float, start: float, expected: float) -> Health:
    """How near the value is to where it should be by now, as a share of the way that it should have gone."""
    behind = value - expected if kind in DOWNWARD else expected - value
    way = abs(expected - start) or abs(expected)
    if behind <= 0:
        return Health.ON_TRACK
    gone = 1 - behind / way if way else 0.0
    return Health.ON_TRACK if gone >= ON_TRACK else Health.AT_RISK if gone >= AT_RISK else Health.OFF_TRACK


EVALUATE_EVERY = timedelta(seconds=60)
STALE_AFTER = timedelta(seconds=150)
