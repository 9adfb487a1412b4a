"""What a goal's arithmetic promises, whatever the numbers."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from services.goals.goal.smart import Facts, LetterName, Verdict, judge, passed

from services.goals.goal.rules import (
    Days,
    GoalKind,
    Health,
    elapsed_share,
    resolve_target,
    scale_between,
    standing,
    whole_months,
)

YEAR = Days(date(2026, 1, 1), date(2027, 1, 1))
numbers = st.floats(0.01, 1e9)
shares = st.floats(0, 1)


def test_a_quarter_more_clicks_within_a_year_is_a_number() -> None:
    before = Days(date(2025, 1, 1), date(2026, 1, 1))
    assert resolve_target(GoalKind.INCREASE, Decimal(25), None, 1000.0, scale_between(before, YEAR)) == 1250.0


@given(numbers, st.decimals("0.01", "1000", places=2))
def test_an_increase_rises_and_a_decrease_falls(baseline: float, percent: Decimal) -> None:
    up = resolve_target(GoalKind.INCREASE, percent, None, baseline, Decimal(1))
    down = resolve_target(GoalKind.DECREASE, percent, None, baseline, Decimal(1))
    assert up is not None
    assert down is not None
    assert up > baseline > down


def test_without_a_baseline_there_is_no_target() -> None:
    assert resolve_target(GoalKind.INCREASE, Decimal(25), None, None, Decimal(1)) is None
    assert resolve_target(GoalKind.REACH, None, 7.5, None, Decimal(1)) == 7.5


@pytest.mark.parametrize(
    ("baseline", "window", "scale"),
    [
        (("2024-01-01", "2025-01-01"), ("2025-01-01", "2026-01-01"), "1"),  # a leap year and a common one
        (("2026-02-01", "2026-03-01"), ("2026-03-01", "2026-04-01"), "1"),
        (("2025-01-01", "2026-01-01"), ("2026-01-01", "2026-07-01"), "0.5"),
        (("2026-01-01", "2026-01-11"), ("2026-02-01", "2026-02-06"), "0.5"),
    ],
)
def test_a_month_is_as_long_as_a_month(baseline: tuple[str, str], window: tuple[str, str], scale: str) -> None:
    spans = [Days(date.fromisoformat(start), date.fromisoformat(end)) for start, end in (baseline, window)]
    assert scale_between(*spans) == Decimal(scale)


def test_days_that_do_not_match_are_not_whole_months() -> None:
    assert whole_months(YEAR) == 12
    assert whole_months(Days(date(2026, 1, 1), date(2026, 1, 31))) is None


def test_a_window_begins_and_ends_at_local_midnight() -> None:
    march = Days(date(2026, 3, 1), date(2026, 4, 1))  # an hour shorter than 31 days: the clocks change
    first, last = datetime(2026, 2, 28, 23, tzinfo=UTC), datetime(2026, 3, 31, 22, tzinfo=UTC)
    assert elapsed_share(march, "Europe/Berlin", first) == 0
    assert elapsed_share(march, "Europe/Berlin", last) == 1
    assert elapsed_share(march, "Europe/Berlin", first + (last - first) / 2) == pytest.approx(0.5)
    assert elapsed_share(march, "Europe/Berlin", last + timedelta(days=400)) == 1


@given(numbers, numbers, shares)
def test_what_adds_up_runs_from_nothing_to_its_target(value: float, target: float, elapsed: float) -> None:
    stand = standing(GoalKind.INCREASE, value, 1.0, target, elapsed, adds_up=True)
    assert stand.share == pytest.approx(value / target)
    assert stand.expected == pytest.approx(target * elapsed)


@given(numbers, numbers, shares)
def test_a_rate_runs_from_its_baseline_to_its_target(baseline: float, change: float, elapsed: float) -> None:
    target = baseline + change
    assume(target > baseline)
    start = standing(GoalKind.INCREASE, baseline, baseline, target, elapsed, adds_up=False)
    there = standing(GoalKind.INCREASE, target, baseline, target, elapsed, adds_up=False)
    assert (start.share, there.share) == (0, 1)
    assert start.expected == pytest.approx(baseline + (target - baseline) * elapsed)


@given(numbers, numbers, st.floats(0.01, 1), st.booleans(), st.sampled_from(list(GoalKind)))
def test_being_where_one_should_be_is_on_track(
    baseline: float, target: float, elapsed: float, adds_up: bool, kind: GoalKind
) -> None:
    expected = standing(kind, 0.0, baseline, target, elapsed, adds_up).expected
    assert standing(kind, expected, baseline, target, elapsed, adds_up).health is Health.ON_TRACK


@given(st.floats(0, 1), st.floats(0, 1))
def test_more_is_never_less_healthy(one: float, other: float) -> None:
    order = [Health.OFF_TRACK, Health.AT_RISK, Health.ON_TRACK]
    low, high = sorted((one, other))
    healths = [standing(GoalKind.INCREASE, each * 100, 50.0, 100.0, 0.5, adds_up=True).health for each in (low, high)]
    assert order.index(healths[0]) <= order.index(healths[1])  # type: ignore[arg-type]


@pytest.mark.parametrize(("value", "health"), [(50, "on_track"), (45, "at_risk"), (39, "off_track")])
def test_health_tells_how_far_behind_the_path_a_value_is(value: float, health: str) -> None:
    assert standing(GoalKind.INCREASE, value, 80.0, 100.0, 0.5, adds_up=True).health == health


def test_more_of_nothing_is_no_path() -> None:
    assert standing(GoalKind.INCREASE, 0.0, 0.0, 0.0, 0.5, adds_up=True).health is None


def test_before_its_window_a_goal_has_no_health() -> None:
    stand = standing(GoalKind.INCREASE, 0.0, 80.0, 100.0, 0.0, adds_up=True)
    assert (stand.health, stand.forecast) == (None, None)


GOOD = {
    "metric_key": "email.total_clicks", "campaigns": 1, "metric_known": True, "unit": "clicks",
    "baseline_days": Days(date(2025, 1, 1), date(2026, 1, 1)), "baseline": 1000.0,
    "needs_baseline": True, "target": 1250.0, "scale": Decimal(1), "objective": "Grow", "relevance": "",
    "available": "500.00", "window": YEAR, "today": date(2026, 6, 15),
}  # fmt: skip


def test_a_sound_goal_passes() -> None:
    letters = judge(Facts(**GOOD))  # type: ignore[arg-type]
    assert [each.letter for each in letters] == list(LetterName)
    assert passed(each.verdict for each in letters)


@pytest.mark.parametrize(
    ("change", "letter"),
    [
        ({"metric_known": False}, "M"),
        ({"metric_known": None}, "M"),
        ({"baseline": None}, "M"),
        ({"baseline": 0.0}, "M"),
        ({"objective": None}, "R"),
        ({"today": date(2027, 1, 1)}, "T"),
    ],
)
def test_a_goal_fails_by_the_letter_that_is_wrong(change: dict[str, object], letter: str) -> None:
    letters = judge(Facts(**{**GOOD, **change}))  # type: ignore[arg-type]
    assert [each.letter for each in letters if each.verdict is Verdict.FAIL] == [letter]
    assert not passed(each.verdict for each in letters)


def test_what_cannot_be_known_yet_warns() -> None:
    verdicts = {each.letter: each.verdict for each in judge(Facts(**GOOD))}  # type: ignore[arg-type]
    assert (verdicts[LetterName.A], verdicts[LetterName.R]) == (Verdict.WARN, Verdict.WARN)


def test_a_target_that_is_scaled_says_so() -> None:
    letters = judge(Facts(**{**GOOD, "scale": Decimal("0.5")}))  # type: ignore[arg-type]
    assert "scaled by 0.5" in letters[1].reason
