"""Decides what a goal asks for as a number, which days it is about, and when and how it ends."""

from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from itertools import pairwise
from zoneinfo import ZoneInfo


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
DECIDED_STATES = (GoalState.ACHIEVED, GoalState.MISSED)
KEEPING = (GoalKind.KEEP_ABOVE, GoalKind.KEEP_BELOW)

EVALUATE_EVERY = timedelta(seconds=60)
STALE_AFTER = timedelta(seconds=150)
# E-mail platforms repeat for a day what they couldn't deliver: until then a window's last numbers may still come in.
GRACE = timedelta(days=1)
# For so long after the outcome a goal says how far its numbers have moved since.
CORRECTED_FOR = timedelta(days=30)
FIRST_DAY = date(1990, 1, 1)
# A window beyond this is as good as open.
LONGEST_DAYS = 5 * 366


@dataclass(frozen=True)
class Days:
    """Half-open span of local days."""

    start: date
    end: date

    def __len__(self) -> int:
        return (self.end - self.start).days


def midnight(day: date, zone: str) -> datetime:
    """When a local day begins."""
    return datetime.combine(day, time.min, ZoneInfo(zone)).astimezone(UTC)


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


def scale_of(baseline: Days | None, window: Days, adds_up: bool) -> Decimal:
    """What a baseline is stretched by: a sum grows with its span, a rate doesn't."""
    return scale_between(baseline, window) if adds_up and baseline else Decimal(1)


def windows_before(anchor: date, window: Days, most: int) -> list[Days]:
    """Up to so many spans as long as the window, one after the other without overlap, the last ending at the anchor."""
    months = whole_months(window)
    edges = [anchor]
    for count in range(1, most + 1):
        edge = _months_before(anchor, months * count) if months else anchor - timedelta(days=len(window) * count)
        if edge < FIRST_DAY:
            break
        edges.insert(0, edge)
    return [Days(start, end) for start, end in pairwise(edges)]


def _months_before(day: date, months: int) -> date:
    years, month = divmod(day.year * 12 + day.month - 1 - months, 12)
    return date(years, month + 1, min(day.day, monthrange(years, month + 1)[1]))


def windows_between(baseline: Days | None, window: Days) -> int:
    """How many windows after its baseline the window comes: 1 for the next one, 4 for the same quarter a year later."""
    if baseline is None:
        return 1
    return max(1, round((window.start - baseline.end).days / len(window)) + 1)


def is_downward(
    kind: GoalKind, adds_up: bool, baseline: float | None, target: float | None, less_is_better: bool
) -> bool:
    """Whether being below the target is being there. A value to reach lies below if the baseline is above it, or, with
    no baseline to tell, if less of the metric is better; a sum only ever rises to its value."""
    if kind is GoalKind.REACH and not adds_up:
        if baseline is None or target is None or baseline == target:
            return less_is_better
        return target < baseline
    return kind in (GoalKind.DECREASE, GoalKind.KEEP_BELOW)


def change_problem(kind: GoalKind, change_percent: Decimal | None, *, has_baseline: bool) -> str | None:
    """Why a change in percent can't be a target of this kind; None if it can, or none is asked for."""
    if change_percent is None:
        return None
    if kind not in (GoalKind.INCREASE, GoalKind.DECREASE):
        return "target.change_percent goes with the kinds increase and decrease; give target.value"
    if not has_baseline:
        return "baseline is needed by a target of change_percent"
    if kind is GoalKind.DECREASE and change_percent > 100:
        return "target.change_percent: nothing can fall by more than 100 %"
    return None


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
    change = -change_percent if kind is GoalKind.DECREASE else change_percent
    return float(Decimal(str(baseline)) * scale * (100 + change) / 100)


def elapsed_share(window: Days, zone: str, now: datetime) -> float:
    """How much of the window has passed: 0 before it, 1 after it. Days begin at local midnight."""
    start, end = midnight(window.start, zone), midnight(window.end, zone)
    if now >= end:  # also of a day that a zone left out, which has no length
        return 1.0
    return max(0.0, (now - start) / (end - start)) if start < end else 0.0


def decides_at(window: Days, zone: str) -> datetime:
    """When the outcome is decided at the latest: late numbers count for `GRACE` after the window's end."""
    return midnight(window.end, zone) + GRACE


@dataclass(frozen=True)
class Outcome:
    """What became of a goal, and why."""

    state: GoalState
    reason: str


def outcome(
    kind: GoalKind, downward: bool, adds_up: bool, value: float | None, target: float, is_over: bool
) -> Outcome | None:
    """What is settled. Before the window is over only a sum that was to rise can be: it doesn't fall again. A rate may,
    and what is to be kept, or to stay low, needs the whole window."""
    if not is_over:
        if kind in (GoalKind.INCREASE, GoalKind.REACH) and adds_up and value is not None and value >= target:
            return Outcome(GoalState.ACHIEVED, "The target is reached, and a sum doesn't fall again.")
        return None
    if value is None:
        return Outcome(GoalState.MISSED, "Nothing was measured in its window.")
    there = value <= target if downward else value >= target
    side = "above" if value > target else "below" if value < target else "at"
    return Outcome(
        GoalState.ACHIEVED if there else GoalState.MISSED, f"When its window was over, the value was {side} the target."
    )
