"""What progress promises: paths, a forecast with its interval, and health, whatever the numbers."""

from calendar import monthrange
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from math import sqrt

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from services.goals.evaluation.forecast import (
    LEVEL,
    UNKNOWN,
    Aim,
    Course,
    Day,
    Profile,
    Spread,
    Standing,
    month_indices,
    profile_of,
    share_by,
    spread_of,
    standing,
    student,
    weekday_indices,
)
from services.goals.goal.rules import Days, GoalKind, Health, is_downward, midnight

BERLIN = "Europe/Berlin"
# A thousand days of one zone without a change of clocks: a share of it is a share of its time.
LONG = Days(date(2026, 1, 1), date(2028, 9, 27))
numbers = st.floats(0.01, 1e9)
shares = st.floats(0, 1)


def at(elapsed: float) -> datetime:
    start, end = midnight(LONG.start, "UTC"), midnight(LONG.end, "UTC")
    return start + (end - start) * elapsed


def stand(
    kind: GoalKind, value: float | None, baseline: float | None, target: float, elapsed: float, adds_up: bool,
    course: Course = UNKNOWN,
) -> Standing:  # fmt: skip
    downward = is_downward(kind, adds_up, baseline, target, less_is_better=False)
    return standing(Aim(kind, downward, adds_up, LONG, baseline, target), value, course, "UTC", at(elapsed))


@given(numbers, numbers, shares)
def test_what_adds_up_runs_from_nothing_to_its_target(value: float, target: float, elapsed: float) -> None:
    found = stand(GoalKind.INCREASE, value, 1.0, target, elapsed, adds_up=True)
    assert found.share == pytest.approx(value / target)
    assert found.expected == pytest.approx(target * elapsed, abs=target * 1e-12)  # time has microseconds


@given(numbers, numbers, shares)
def test_a_rate_runs_from_its_baseline_to_its_target(baseline: float, change: float, elapsed: float) -> None:
    target = baseline + change
    assume(target > baseline)
    start = stand(GoalKind.INCREASE, baseline, baseline, target, elapsed, adds_up=False)
    there = stand(GoalKind.INCREASE, target, baseline, target, elapsed, adds_up=False)
    assert (start.share, there.share) == (0, 1)
    expected = baseline + (target - baseline) * elapsed
    near = max(abs(expected) * 1e-6, (target - baseline) * 1e-12)  # time has microseconds
    assert start.expected == pytest.approx(expected, abs=near)


@given(numbers, numbers, st.floats(0.01, 1), st.booleans(), st.sampled_from(list(GoalKind)))
def test_being_where_one_should_be_is_on_track(
    baseline: float, target: float, elapsed: float, adds_up: bool, kind: GoalKind
) -> None:
    expected = stand(kind, 0.0, baseline, target, elapsed, adds_up).expected
    assert stand(kind, expected, baseline, target, elapsed, adds_up).health is Health.ON_TRACK


@given(st.floats(0, 1), st.floats(0, 1))
def test_more_is_never_less_healthy(one: float, other: float) -> None:
    order = [Health.OFF_TRACK, Health.AT_RISK, Health.ON_TRACK]
    low, high = sorted((one, other))
    healths = [stand(GoalKind.INCREASE, each * 100, 50.0, 100.0, 0.5, adds_up=True).health for each in (low, high)]
    assert order.index(healths[0]) <= order.index(healths[1])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "health"),
    [(50, "on_track"), (47.5, "on_track"), (47.4, "at_risk"), (40, "at_risk"), (39.9, "off_track"), (0, "off_track")],
)
def test_health_tells_how_far_behind_the_path_a_value_is(value: float, health: str) -> None:
    assert stand(GoalKind.INCREASE, value, 80.0, 100.0, 0.5, adds_up=True).health == health


def test_more_of_nothing_is_no_path() -> None:
    assert stand(GoalKind.INCREASE, 0.0, 0.0, 0.0, 0.5, adds_up=True).health is None


def test_before_its_window_a_goal_has_no_health() -> None:
    found = stand(GoalKind.INCREASE, 0.0, 80.0, 100.0, 0.0, adds_up=True)
    assert (found.health, found.forecast) == (None, None)


def test_a_rate_to_be_brought_down_is_healthy_while_it_falls() -> None:
    falling = stand(GoalKind.REACH, 3.0, 5.0, 1.0, 0.5, adds_up=False)
    assert (falling.share, falling.expected, falling.health) == (0.5, 3.0, Health.ON_TRACK)
    assert stand(GoalKind.REACH, 4.5, 5.0, 1.0, 0.5, adds_up=False).health is Health.OFF_TRACK


@pytest.mark.parametrize(("value", "health"), [(95, "on_track"), (94.5, "at_risk"), (94, "at_risk"), (93, "off_track")])
def test_a_rate_is_judged_by_the_way_from_its_baseline_and_not_from_nothing(value: float, health: str) -> None:
    """By hand: halfway from 90 to 100 it should be at 95, 5 from where it began; 94 is 4 of them: 80 %."""
    assert stand(GoalKind.INCREASE, value, 90.0, 100.0, 0.5, adds_up=False).health == health


@pytest.mark.parametrize(
    ("kind", "value", "share", "health"),
    [
        (GoalKind.KEEP_ABOVE, 12.0, 1.2, "on_track"), (GoalKind.KEEP_ABOVE, 9.6, 0.96, "on_track"),
        (GoalKind.KEEP_ABOVE, 9.0, 0.9, "at_risk"), (GoalKind.KEEP_ABOVE, 7.0, 0.7, "off_track"),
        (GoalKind.KEEP_BELOW, 7.0, 0.7, "on_track"), (GoalKind.KEEP_BELOW, 11.0, 1.1, "at_risk"),
        (GoalKind.KEEP_BELOW, 13.0, 1.3, "off_track"),
    ],
)  # fmt: skip
def test_a_rate_that_is_to_be_kept_is_judged_by_its_target_all_the_time(
    kind: GoalKind, value: float, share: float, health: str
) -> None:
    for elapsed in (0.1, 0.9):
        found = stand(kind, value, None, 10.0, elapsed, adds_up=False)
        assert (found.expected, found.health) == (10.0, health)
        assert found.share == pytest.approx(share)


def test_what_is_to_be_kept_at_nothing_has_no_way_to_go() -> None:
    found = stand(GoalKind.KEEP_BELOW, 0.0, None, 0.0, 0.5, adds_up=False)
    assert (found.share, found.health) == (None, Health.ON_TRACK)
    assert stand(GoalKind.KEEP_BELOW, 0.1, None, 0.0, 0.5, adds_up=False).health is Health.OFF_TRACK


def test_a_rate_runs_along_no_season() -> None:
    course = Course(Profile(months=(1, 1, 1, 1, 1, 3, 1, 1, 1, 1, 1, 1)), None)
    assert stand(GoalKind.INCREASE, 4.0, 3.0, 5.0, 0.5, False, course).seasonal is None


# By hand: June's days bring thrice what other days do, so that of a leap year's 366 days June's 30 weigh 90.
JUNE = Profile(months=(1, 1, 1, 1, 1, 3, 1, 1, 1, 1, 1, 1))
YEAR_2028 = Days(date(2028, 1, 1), date(2029, 1, 1))
NOON = 12


def test_a_seasonal_path_runs_as_the_metrics_months_do() -> None:
    assert JUNE.weight(YEAR_2028) == 366 + 60
    first_of_june, first_of_july = midnight(date(2028, 6, 1), BERLIN), midnight(date(2028, 7, 1), BERLIN)
    assert share_by(YEAR_2028, JUNE, BERLIN, first_of_june) == pytest.approx(152 / 426)
    assert share_by(YEAR_2028, JUNE, BERLIN, first_of_july) == pytest.approx(242 / 426)
    aim = Aim(GoalKind.INCREASE, False, True, YEAR_2028, None, 852.0)
    found = standing(aim, 484.0, Course(JUNE, None), BERLIN, first_of_july)
    assert found.seasonal == pytest.approx(484)
    assert found.straight == pytest.approx(852 * 182 / 366, rel=1e-3)
    assert (found.expected, found.health) == (found.seasonal, Health.ON_TRACK)
    assert found.forecast == pytest.approx(852)


def test_weekdays_shape_a_short_window() -> None:
    """By hand: nothing on weekends; of Monday to Sunday, Wednesday midnight is two fifths."""
    profile = Profile(weekdays=(1.4, 1.4, 1.4, 1.4, 1.4, 0, 0))
    week = Days(date(2026, 6, 1), date(2026, 6, 8))
    assert share_by(week, profile, "UTC", datetime(2026, 6, 3, tzinfo=UTC)) == pytest.approx(0.4)
    assert share_by(week, profile, "UTC", datetime(2026, 6, 6, NOON, tzinfo=UTC)) == 1


@given(
    st.lists(st.floats(0.1, 10), min_size=12, max_size=12), st.lists(st.floats(0.1, 10), min_size=7, max_size=7),
    st.dates(date(2000, 1, 1), date(2050, 1, 1)), st.integers(1, 400), st.lists(st.floats(-0.1, 1.1), min_size=2),
    st.sampled_from([BERLIN, "UTC", "Australia/Lord_Howe", "Africa/Cairo"]),
)  # fmt: skip
def test_a_path_rises_from_nothing_to_all(
    months: list[float], weekdays: list[float], start: date, days: int, moments: list[float], zone: str
) -> None:
    window, profile = Days(start, start + timedelta(days=days)), Profile(tuple(months), tuple(weekdays))
    begins, ends = midnight(window.start, zone), midnight(window.end, zone)
    found = [share_by(window, profile, zone, begins + (ends - begins) * each) for each in sorted(moments)]
    assert found == sorted(found)
    assert all(0 <= each <= 1 for each in found)
    assert share_by(window, profile, zone, begins) == 0
    assert share_by(window, profile, zone, ends) == 1


@given(
    st.lists(st.floats(0.1, 10), min_size=7, max_size=7),
    st.dates(date(2000, 1, 1), date(2050, 1, 1)),
    st.integers(1, 900),
)
def test_a_span_weighs_what_its_days_weigh(weekdays: list[float], start: date, days: int) -> None:
    profile = Profile(JUNE.months, tuple(weekdays))
    each = [Days(start + timedelta(days=n), start + timedelta(days=n + 1)) for n in range(days)]
    assert profile.weight(Days(start, each[-1].end)) == pytest.approx(sum(map(profile.weight, each)))


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago"])
def test_a_path_has_a_place_for_every_instant_there_is(zone: str) -> None:
    window, profile = Days(date(2026, 1, 1), date(2026, 3, 1)), Profile(weekdays=(1.0,) * 7)
    assert share_by(window, profile, zone, datetime.min.replace(tzinfo=UTC)) == 0
    assert share_by(window, profile, zone, datetime.max.replace(tzinfo=UTC)) == 1


def test_an_hour_that_the_clocks_skip_is_no_part_of_a_day() -> None:
    day = Days(date(2026, 3, 29), date(2026, 3, 30))  # 23 hours long
    assert share_by(day, Profile(), BERLIN, datetime(2026, 3, 29, NOON - 2, tzinfo=UTC)) == pytest.approx(11 / 23)


def months(values: Sequence[float]) -> list[tuple[date, float]]:
    return [(date(2020 + n // 12, n % 12 + 1, 1), value) for n, value in enumerate(values)]


DAYS_OF_MONTH = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def test_months_show_their_season_and_not_the_trend() -> None:
    """Each month's average day rises by 2 a month, and December's is doubled."""
    base: list[float] = [(100 + 2 * n) * DAYS_OF_MONTH[n % 12] * (2 if n % 12 == 11 else 1) for n in range(60)]
    base = [value * (29 / 28) if n in (1, 49) else value for n, value in enumerate(base)]  # 2020 and 2024 are leap
    found = month_indices(months(base))
    assert found is not None
    assert sum(found) == pytest.approx(12)
    assert found[11] / found[5] == pytest.approx(2, rel=0.1)
    assert max(found[:11]) / min(found[:11]) < 1.1  # the level doubled meanwhile


@pytest.mark.parametrize("years", [2, 3, 5])
def test_a_trend_alone_is_no_season_however_steep(years: int) -> None:
    """A centred average of a straight line is the line: an average that is off by half a month isn't."""
    line = [(start, 10 * (n + 1) * monthrange(start.year, start.month)[1]) for n, (start, _) in enumerate(
        months([0.0] * 12 * years)
    )]  # fmt: skip
    assert month_indices([(start, float(value)) for start, value in line]) == pytest.approx((1.0,) * 12, abs=1e-9)


def test_a_year_in_which_nothing_happened_leaves_the_season_of_the_others() -> None:
    doubled = [2.0 * DAYS_OF_MONTH[n % 12] if n % 12 == 11 else float(DAYS_OF_MONTH[n % 12]) for n in range(60)]
    found = month_indices(months([0.0 if 24 <= n < 42 else each for n, each in enumerate(doubled)]))
    assert found is not None
    assert max(found) == found[11]


def test_each_weekday_has_its_own_index() -> None:
    """By hand: Mondays bring twice what other days do, 2 of 8 parts of seven days: 14 / 8, the others 7 / 8."""
    days = [(date(2026, 1, 5) + timedelta(days=n), 1.0 if n % 7 else 2.0) for n in range(56)]
    assert weekday_indices(days) == pytest.approx((1.75, *(0.875,) * 6))
    # Only the last whole weeks count, not the three days before them.
    assert weekday_indices([(date(2026, 1, 2) + timedelta(days=n), 99.0) for n in range(3)] + days) == pytest.approx(
        (1.75, *(0.875,) * 6)
    )


def test_a_season_takes_two_years_and_eight_weeks() -> None:
    assert month_indices(months([31.0] * 24)) is not None
    assert month_indices(months([0.0, *[31.0] * 23])) is None
    days = [(date(2026, 1, 5) + timedelta(days=n), 1.0) for n in range(56)]
    assert weekday_indices(days) == (1, 1, 1, 1, 1, 1, 1)
    assert weekday_indices(days[1:]) is None
    assert weekday_indices([(day, 0.0) for day, _ in days]) is None


@given(st.lists(st.floats(1, 1000), min_size=24, max_size=60), st.floats(0.01, 100))
def test_a_season_knows_no_unit(values: list[float], unit: float) -> None:
    plain, scaled = month_indices(months(values)), month_indices(months([each * unit for each in values]))
    assert plain is not None
    assert scaled == pytest.approx(plain)


YEAR = Days(date(2026, 1, 1), date(2027, 1, 1))
MONTH = Days(date(2026, 6, 1), date(2026, 7, 1))


@pytest.mark.parametrize(
    ("window", "adds_up", "words"),
    [
        (YEAR, False, "rate"),
        (YEAR, True, "24 whole months"),
        (MONTH, True, "8 whole weeks"),
        (Days(date(2026, 6, 1), date(2026, 6, 2)), True, "single day"),
    ],
)
def test_where_no_season_is_known_it_says_why(window: Days, adds_up: bool, words: str) -> None:
    profile, reason = profile_of(window, adds_up, None, None)
    assert profile is None
    assert reason is not None
    assert words in reason


def test_the_week_shapes_eight_weeks_and_the_year_shapes_more() -> None:
    eight_weeks, a_day_more = (Days(date(2026, 6, 1), date(2026, 6, 1) + timedelta(days=n)) for n in (56, 57))
    months, week = JUNE.months, (1.0,) * 7
    assert profile_of(eight_weeks, True, None, week) == (Profile(None, week), None)
    assert profile_of(a_day_more, True, months, None) == (Profile(months, None), None)
    for window, known, words in ((eight_weeks, (months, None), "8 whole weeks"), (a_day_more, (None, week), "24")):
        profile, reason = profile_of(window, True, *known)
        assert profile is None
        assert words in str(reason)


def test_a_window_of_days_on_which_nothing_ever_happened_has_no_path() -> None:
    weekend = Days(date(2026, 6, 6), date(2026, 6, 8))
    profile, reason = profile_of(weekend, True, None, (1.4, 1.4, 1.4, 1.4, 1.4, 0, 0))
    assert profile is None
    assert "nothing ever happened" in str(reason)


def test_days_that_weigh_nothing_tell_nothing_of_how_days_differ() -> None:
    profile = Profile(weekdays=(1.4, 1.4, 1.4, 1.4, 1.4, 0, 0))
    days = [Day(date(2026, 6, 1) + timedelta(days=n), 5.0) for n in range(14)]
    spread = spread_of(MONTH, True, profile, days)
    assert spread is not None
    assert spread.days == 10
    assert spread.dispersion == pytest.approx(0)


def test_a_window_is_measured_by_its_own_days_once_there_are_seven() -> None:
    """Ten calm days before it, wild ones since."""
    before = [Day(date(2026, 5, 22) + timedelta(days=n), 10.0) for n in range(10)]
    own = [Day(date(2026, 6, 1) + timedelta(days=n), 20.0 * (n % 2)) for n in range(7)]
    for count, used in ((6, 16), (7, 7)):
        spread = spread_of(MONTH, True, None, [*before, *own[:count]])
        assert spread is not None
        assert spread.days == used


def test_a_day_without_a_denominator_says_nothing_of_a_rate() -> None:
    days = [Day(date(2026, 6, 1) + timedelta(days=n), 10.0, 100.0) for n in range(7)]
    odd = [Day(date(2026, 6, 8), 10.0, None), Day(date(2026, 6, 9), 10.0, 0.0), Day(date(2026, 6, 10), None, 5.0)]
    spread = spread_of(MONTH, False, None, [*days, *odd])
    assert spread is not None
    assert spread.days == 7
    assert spread.dispersion == pytest.approx(0)


def test_a_week_of_days_tells_how_far_off_a_forecast_may_be() -> None:
    """By hand: ten days, seven gone with 8, 12, 10, 10, 9, 11, 10. r = 70 / 0.7 = 100; the squares are 4 + 4 + 0 + 0 +
    1 + 1 + 0 = 10, over 0.1 and 6 degrees of freedom 100 / 6; times 0.3 / 0.7 the variance is 50 / 7; Student's t for
    80 % and 6 is 1.440; so 100 -+ 3.848."""
    window = Days(date(2026, 6, 1), date(2026, 6, 11))
    days = [Day(date(2026, 6, 1) + timedelta(days=n), each) for n, each in enumerate([8.0, 12, 10, 10, 9, 11, 10])]
    spread = spread_of(window, True, None, days)
    assert spread is not None
    assert spread.dispersion == pytest.approx(100 / 6)
    assert spread.days == 7
    aim = Aim(GoalKind.REACH, False, True, window, None, 100.0)
    found = standing(aim, 70.0, Course(None, "", spread), "UTC", datetime(2026, 6, 8, tzinfo=UTC))
    assert found.forecast == pytest.approx(100)
    assert found.low == pytest.approx(100 - 1.44 * sqrt(50 / 7), abs=0.01)
    assert found.high == pytest.approx(100 + 1.44 * sqrt(50 / 7), abs=0.01)


def test_a_rate_weighs_its_days_by_their_denominators() -> None:
    """By hand: 10 % of 100 and 20 % of 300, in turn, for eight days: r = 17.5 %; squares 4 * (100 * 7.5^2 +
    300 * 2.5^2) = 30000, over 7 degrees of freedom."""
    window = Days(date(2026, 6, 1), date(2026, 6, 17))
    days = [Day(date(2026, 6, 1) + timedelta(days=n), *((10.0, 100.0) if n % 2 else (20.0, 300.0))) for n in range(8)]
    spread = spread_of(window, False, None, [*days, Day(date(2026, 6, 9), None, 0.0)])
    assert spread is not None
    assert spread.dispersion == pytest.approx(30000 / 7)
    assert spread.weight_per_day == pytest.approx(1600 / 9)
    assert spread.days == 8
    aim = Aim(GoalKind.INCREASE, False, False, window, 15.0, 18.0)
    found = standing(aim, 17.5, Course(None, "", spread), "UTC", datetime(2026, 6, 9, tzinfo=UTC))
    half = student(LEVEL, 7) * sqrt(30000 / 7 * 0.5 / (1600 / 9 * 8))
    assert found.low == pytest.approx(17.5 - half)
    assert found.high == pytest.approx(17.5 + half)


def test_fewer_than_seven_days_give_no_interval() -> None:
    days = [Day(date(2026, 6, 1) + timedelta(days=n), 1.0, 10.0) for n in range(6)]
    assert spread_of(MONTH, True, None, days) is None
    assert spread_of(MONTH, False, None, days) is None
    assert stand(GoalKind.REACH, 5.0, None, 10.0, 0.5, adds_up=True).low is None


@pytest.mark.parametrize(("freedom", "t"), [(6, 1.4398), (10, 1.3722), (30, 1.3104), (1000, 1.2824)])
def test_students_quantiles_are_those_of_the_tables(freedom: int, t: float) -> None:
    assert student(0.8, freedom) == pytest.approx(t, rel=2e-4)


spreads = st.builds(Spread, st.floats(0, 1e6), st.integers(7, 400), st.floats(0.1, 1e6))


@given(st.floats(0, 1e6), st.floats(0.001, 1), spreads, st.booleans())
def test_an_interval_holds_its_forecast(value: float, elapsed: float, spread: Spread, adds_up: bool) -> None:
    found = stand(GoalKind.REACH, value, None, 100.0, elapsed, adds_up, Course(None, "", spread))
    assert found.forecast is not None
    assert found.low is not None
    assert found.high is not None
    assert found.low <= found.forecast <= found.high
    assert found.low >= (value if adds_up else 0)


@given(st.floats(0.01, 0.99), st.floats(0.001, 0.5), spreads, st.booleans())
def test_more_days_narrow_an_interval_until_it_is_a_point(
    elapsed: float, more: float, spread: Spread, adds_up: bool
) -> None:
    assume(elapsed + more < 1)
    course = Course(None, "", spread)

    def width(share: float) -> float:
        found = stand(GoalKind.REACH, 1e9 * (share if adds_up else 1), None, 100.0, share, adds_up, course)
        assert found.high is not None
        assert found.forecast is not None
        return found.high - found.forecast

    assert width(elapsed + more) <= width(elapsed) + 1e-6
    assert width(1.0) == 0
    wider = Spread(spread.dispersion, 7, spread.weight_per_day)
    assert student(LEVEL, spread.days - 1) <= student(LEVEL, wider.days - 1)


@given(
    st.lists(st.integers(0, 1000), min_size=10, max_size=40), st.integers(1, 20), st.floats(0.05, 0.95), st.booleans()
)
def test_counting_in_another_unit_scales_the_outcome(
    values: list[int], power: int, elapsed: float, adds_up: bool
) -> None:
    unit = 2.0**power

    def found(scale: float) -> Standing:
        days = [Day(LONG.start + timedelta(days=n), scale * each, 10.0) for n, each in enumerate(values)]
        course = Course(None, "", spread_of(LONG, adds_up, None, days))
        return stand(GoalKind.INCREASE, 50 * scale, 10 * scale, 100 * scale, elapsed, adds_up, course)

    plain, scaled = found(1.0), found(unit)
    assert (scaled.share, scaled.health) == (plain.share, plain.health)
    for name in ("straight", "forecast", "low", "high"):
        assert getattr(scaled, name) == pytest.approx(getattr(plain, name) * unit)
