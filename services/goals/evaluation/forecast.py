"""Decides where a goal should be by now, where it leads, and how healthy that is."""

from calendar import monthrange
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from math import sqrt
from statistics import NormalDist, fmean
from zoneinfo import ZoneInfo

from services.goals.goal.rules import KEEPING, Days, GoalKind, Health, elapsed_share, midnight

# A path is a plan, not a promise: so much behind it is still on track, so much still only at risk.
ON_TRACK, AT_RISK = 0.95, 0.80
# The interval of a forecast is to hold the outcome so often.
LEVEL = 0.8
METHOD = "ratio estimator (Royall 1970): the way gone so far, spread as the days were"
FEWEST_DAYS = 7
# Up to here the week shapes a window, beyond it the year does.
WEEKS_MATTER_DAYS = 56
FEWEST_WEEKS, MOST_WEEKS = 8, 12
FEWEST_MONTHS, MOST_MONTHS = 24, 60


@dataclass(frozen=True)
class Profile:
    """How much a day of each month (of 12) and of each weekday (of 7, Monday first) brings: 1 is an average day."""

    months: tuple[float, ...] | None = None
    weekdays: tuple[float, ...] | None = None

    def weight(self, span: Days) -> float:
        """What the span's days bring together, in average days."""
        total, day = 0.0, span.start
        while day < span.end:
            after = min(span.end, _next_month(day))
            total += (self.months[day.month - 1] if self.months else 1.0) * self._week_weight(day, (after - day).days)
            day = after
        return total

    def _week_weight(self, first: date, days: int) -> float:
        if self.weekdays is None:
            return float(days)
        weeks, rest = divmod(days, 7)
        return weeks * sum(self.weekdays) + sum(self.weekdays[(first.weekday() + each) % 7] for each in range(rest))


FLAT = Profile()


def _next_month(day: date) -> date:
    return date(day.year + day.month // 12, day.month % 12 + 1, 1)


def month_indices(months: Sequence[tuple[date, float]]) -> tuple[float, ...] | None:
    """Seasonal index of each month from consecutive whole months; None with fewer than 24 since the first that isn't 0.

    Classical multiplicative decomposition: a month's average day over the centred 2x12 moving average of those around
    it, which takes the trend out, averaged over the years. Hyndman and Athanasopoulos, Forecasting: Principles and
    Practice, 3rd ed., sections 3.1 (days per month) and 3.4.
    """
    first = next((place for place, (_, value) in enumerate(months) if value), len(months))
    kept = months[first:]
    if len(kept) < FEWEST_MONTHS:
        return None
    daily = [value / monthrange(start.year, start.month)[1] for start, value in kept]
    ratios: dict[int, list[float]] = {month: [] for month in range(1, 13)}
    for place in range(6, len(daily) - 6):
        around = (sum(daily[place - 6 : place + 6]) + sum(daily[place - 5 : place + 7])) / 24
        if around > 0:
            ratios[kept[place][0].month].append(daily[place] / around)
    return _normalised([ratios[month] for month in range(1, 13)])


def weekday_indices(days: Sequence[tuple[date, float]]) -> tuple[float, ...] | None:
    """Index of each weekday from consecutive days, over the last whole weeks; None with fewer than 8 that aren't empty.

    Each day over its week's average day, averaged over the weeks (the same decomposition; a week has little trend).
    """
    ratios: list[list[float]] = [[] for _ in range(7)]
    weeks = 0
    for end in range(len(days), 6, -7):
        week = days[end - 7 : end]
        average = fmean(value for _, value in week)
        if average > 0:
            weeks += 1
            for day, value in week:
                ratios[day.weekday()].append(value / average)
    return _normalised(ratios) if weeks >= FEWEST_WEEKS else None


def _normalised(ratios: Sequence[Sequence[float]]) -> tuple[float, ...] | None:
    """Their averages, made to average 1."""
    if not all(ratios):
        return None
    averages = [fmean(each) for each in ratios]
    middle = fmean(averages)
    return tuple(each / middle for each in averages) if middle > 0 else None


def profile_of(
    window: Days, adds_up: bool, months: tuple[float, ...] | None, weekdays: tuple[float, ...] | None
) -> tuple[Profile | None, str | None]:
    """The profile that a window runs along; or why there is none."""
    if not adds_up:
        return None, "A rate doesn't add up over the window, so no season has a share of it."
    if len(window) < 2:
        return None, "A single day has no season."
    if len(window) > WEEKS_MATTER_DAYS and months is None:
        return None, f"The year's profile takes {FEWEST_MONTHS} whole months of history."
    if len(window) <= WEEKS_MATTER_DAYS and weekdays is None:
        return None, f"The week's profile takes {FEWEST_WEEKS} whole weeks of history."
    profile = Profile(months, weekdays)
    if profile.weight(window) <= 0:
        return None, "In its history nothing ever happened on days like these."
    return profile, None


def share_by(window: Days, profile: Profile, zone: str, now: datetime) -> float:
    """Which share of the window's whole the profile has brought by now: 0 before it, 1 after it."""
    # By instants: far from any window, no zone may have a day for one.
    if now < midnight(window.start, zone):
        return 0.0
    if now >= midnight(window.end, zone):
        return 1.0
    today = now.astimezone(ZoneInfo(zone)).date()
    day = Days(today, today + timedelta(days=1))
    gone = profile.weight(Days(window.start, today)) + profile.weight(day) * elapsed_share(day, zone, now)
    return min(1.0, gone / profile.weight(window))


@dataclass(frozen=True)
class Day:
    """What was measured on one day. `weight` is a rate's denominator; None for what adds up."""

    day: date
    value: float | None
    weight: float | None = None


@dataclass(frozen=True)
class Spread:
    """How much days differ from their path: `dispersion` is the variance of a day of weight 1, from so many days.
    `weight_per_day`: of a rate, its denominator on an average day."""

    dispersion: float
    days: int
    weight_per_day: float


def spread_of(window: Days, adds_up: bool, profile: Profile | None, days: Sequence[Day]) -> Spread | None:
    """From the window's own days, or while those are few from all given; None with fewer than seven.

    Weighted least squares through the origin, variance in proportion to the weight: dispersion = sum((x - r w)^2 / w)
    / (n - 1) with r = sum(x) / sum(w). R. M. Royall, On finite population sampling theory under certain linear
    regression models, Biometrika 57 (1970) 377-387. The weight of a day is its share of the window, or a denominator.
    """
    own = [each for each in days if window.start <= each.day < window.end]
    used = own if len(own) >= FEWEST_DAYS else days
    shape = profile or FLAT
    whole = shape.weight(window)
    pairs: list[tuple[float, float]] = []
    for each in used:
        if adds_up:
            weight = shape.weight(Days(each.day, each.day + timedelta(days=1))) / whole
            pairs.append((each.value or 0.0, weight))
        elif each.value is not None and each.weight:
            pairs.append((each.value * each.weight, each.weight))
    pairs = [(value, weight) for value, weight in pairs if weight > 0]
    if len(pairs) < FEWEST_DAYS:
        return None
    total = sum(weight for _, weight in pairs)
    ratio = sum(value for value, _ in pairs) / total
    squares = sum((value - ratio * weight) ** 2 / weight for value, weight in pairs)
    return Spread(squares / (len(pairs) - 1), len(pairs), total / len(used))


def student(level: float, freedom: int) -> float:
    """Two-sided quantile of Student's t, from the normal one by Abramowitz and Stegun 26.7.5; within 0.1 % from 4
    degrees of freedom on at the levels used here."""
    z = NormalDist().inv_cdf((1 + level) / 2)
    return (
        z
        + (z**3 + z) / (4 * freedom)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * freedom**3)
    )


@dataclass(frozen=True)
class Course:
    """What is known of how a metric runs: its profile, or why there is none, and how much its days differ."""

    profile: Profile | None = None
    reason: str | None = "Its history isn't known yet."
    spread: Spread | None = None


UNKNOWN = Course()


@dataclass(frozen=True)
class Standing:
    """Where a goal stands: `share` of the way gone; where a straight and a seasonal path to the target would be by now;
    where it leads at due, `low` to `high` at LEVEL. `expected` is the seasonal path's where there is one."""

    share: float | None = None
    straight: float | None = None
    seasonal: float | None = None
    forecast: float | None = None
    low: float | None = None
    high: float | None = None
    health: Health | None = None

    @property
    def expected(self) -> float | None:
        return self.straight if self.seasonal is None else self.seasonal


@dataclass(frozen=True)
class Aim:
    """What a value is judged by. `downward`: being below the target is being there."""

    kind: GoalKind
    downward: bool
    adds_up: bool
    window: Days
    baseline: float | None
    target: float | None


def standing(aim: Aim, value: float | None, course: Course, zone: str, now: datetime) -> Standing:
    """Judges a value against the paths to the target.

    A metric that adds up starts its window at 0 and runs to the target; a rate starts at the baseline (or at 0 without
    one). A value to be kept has no way to go: a rate's path is the target itself.
    """
    target, window = aim.target, aim.window
    # A quarter more than nothing is nothing: no path leads there.
    if target is None or (aim.adds_up and target == 0 and aim.kind not in KEEPING):
        return Standing()
    elapsed = elapsed_share(window, zone, now)
    season = share_by(window, course.profile, zone, now) if aim.adds_up and course.profile else None
    gone = elapsed if season is None else season
    start = 0.0 if aim.adds_up else target if aim.kind in KEEPING else (aim.baseline or 0.0)
    straight = start + (target - start) * elapsed
    seasonal = None if season is None else start + (target - start) * season
    if value is None:
        return Standing(straight=straight, seasonal=seasonal)
    done, way = (value - start, target - start) if target != start else (value, target)
    share = done / way if way else None
    if gone <= 0:
        return Standing(share, straight, seasonal)
    forecast = value / gone if aim.adds_up else value
    low, high = _interval(aim, value, forecast, gone, elapsed, course.spread)
    expected = straight if seasonal is None else seasonal
    return Standing(share, straight, seasonal, forecast, low, high, _health(aim, value, start, expected))


def _interval(
    aim: Aim, value: float, forecast: float, gone: float, elapsed: float, spread: Spread | None
) -> tuple[float | None, float | None]:
    """Forecast -+ t * sqrt(variance). The variance of a total of which the share g is known is, in Royall's model,
    dispersion * (1 - g) / g; of a rate over D of a denominator so far, dispersion * (1 - e) / D.

    It takes days as independent of each other and the path as right, so it is narrow where either is wrong.
    """
    if spread is None:
        return None, None
    if aim.adds_up:
        variance = spread.dispersion * (1 - gone) / gone
    else:
        weight = spread.weight_per_day * elapsed * len(aim.window)
        variance = spread.dispersion * (1 - elapsed) / weight
    half = student(LEVEL, spread.days - 1) * sqrt(variance)
    # A sum never falls below what it is, and no metric below nothing.
    return max(forecast - half, value if aim.adds_up else min(0.0, forecast)), forecast + half


def _health(aim: Aim, value: float, start: float, expected: float) -> Health:
    """How near the value is to where it should be by now, as a share of the way that it should have gone."""
    behind = value - expected if aim.downward else expected - value
    way = abs(expected - start) or abs(expected)
    if behind <= 0:
        return Health.ON_TRACK
    gone = 1 - behind / way if way else 0.0
    return Health.ON_TRACK if gone >= ON_TRACK else Health.AT_RISK if gone >= AT_RISK else Health.OFF_TRACK
