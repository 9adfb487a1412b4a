"""What a goal's arithmetic promises, whatever the numbers."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.goals.goal.rules import (
    Days,
    GoalKind,
    change_problem,
    decides_at,
    elapsed_share,
    is_downward,
    outcome,
    resolve_target,
    scale_between,
    scale_of,
    whole_months,
    windows_before,
    windows_between,
)

YEAR = Days(date(2026, 1, 1), date(2027, 1, 1))
numbers = st.floats(0.01, 1e9)


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


def test_a_sum_grows_with_its_span_and_a_rate_does_not() -> None:
    half = Days(date(2025, 7, 1), date(2026, 1, 1))
    assert scale_of(half, YEAR, adds_up=True) == 2
    assert scale_of(half, YEAR, adds_up=False) == 1
    assert scale_of(None, YEAR, adds_up=True) == 1
    assert resolve_target(GoalKind.INCREASE, Decimal(25), None, 1000.0, Decimal(2)) == 2500
    assert resolve_target(GoalKind.DECREASE, Decimal(25), None, 1000.0, Decimal(2)) == 1500


@pytest.mark.parametrize(
    ("kind", "percent", "has_baseline", "words"),
    [
        (GoalKind.INCREASE, 150, True, None),
        (GoalKind.DECREASE, 100, True, None),
        (GoalKind.DECREASE, 101, True, "more than 100 %"),
        (GoalKind.INCREASE, 5, False, "baseline is needed"),
        (GoalKind.REACH, 5, True, "kinds increase and decrease"),
        (GoalKind.KEEP_BELOW, 5, True, "kinds increase and decrease"),
        (GoalKind.REACH, None, False, None),
    ],
)
def test_a_change_in_percent_needs_something_that_can_change_so(
    kind: GoalKind, percent: int | None, has_baseline: bool, words: str | None
) -> None:
    problem = change_problem(kind, None if percent is None else Decimal(percent), has_baseline=has_baseline)
    assert (problem is None) == (words is None)
    assert (words or "") in (problem or "")


def test_a_month_before_the_31st_ends_on_the_last_day_there_is() -> None:
    month = Days(date(2026, 6, 1), date(2026, 7, 1))
    assert windows_before(date(2026, 5, 31), month, 3) == [
        Days(date(2026, 2, 28), date(2026, 3, 31)), Days(date(2026, 3, 31), date(2026, 4, 30)),
        Days(date(2026, 4, 30), date(2026, 5, 31)),
    ]  # fmt: skip


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


def test_a_day_that_a_zone_left_out_is_over_as_it_begins() -> None:
    never = Days(date(2011, 12, 30), date(2011, 12, 31))  # Samoa went over the date line
    began = datetime(2011, 12, 30, 10, tzinfo=UTC)
    assert elapsed_share(never, "Pacific/Apia", began - timedelta(seconds=1)) == 0
    assert elapsed_share(never, "Pacific/Apia", began) == 1


def test_windows_of_history_follow_each_other_and_end_where_they_should() -> None:
    quarter = Days(date(2026, 4, 1), date(2026, 7, 1))
    found = windows_before(date(2026, 4, 1), quarter, 3)
    assert found == [
        Days(date(2025, 7, 1), date(2025, 10, 1)), Days(date(2025, 10, 1), date(2026, 1, 1)),
        Days(date(2026, 1, 1), date(2026, 4, 1)),
    ]  # fmt: skip
    assert windows_before(date(1990, 6, 1), YEAR, 5) == []  # nothing is known of days before 1990


spans = st.builds(
    lambda start, days: Days(start, start + timedelta(days=days)),
    st.dates(date(1995, 1, 1), date(2100, 1, 1)), st.integers(1, 800),
)  # fmt: skip


@given(st.dates(date(2000, 1, 1), date(2100, 1, 1)), spans, st.integers(1, 30))
def test_windows_of_history_never_overlap_nor_leave_a_gap(anchor: date, window: Days, most: int) -> None:
    found = windows_before(anchor, window, most)
    assert len(found) <= most
    assert all(one.end == other.start for one, other in pairwise(found))
    assert not found or found[-1].end == anchor
    assert all(len(each) > 0 for each in found)
    if not whole_months(window):
        assert {len(each) for each in found} <= {len(window)}


@pytest.mark.parametrize(
    ("baseline", "apart"),
    [
        (None, 1),
        (("2026-01-01", "2026-04-01"), 1),
        (("2025-04-01", "2025-07-01"), 4),  # the same quarter a year before
        (("2025-01-01", "2026-01-01"), 2),
        (("2026-04-01", "2026-07-01"), 1),  # its own window
        (("2027-04-01", "2027-07-01"), 1),  # one that lies ahead
    ],
)
def test_a_baseline_lies_so_many_windows_before(baseline: tuple[str, str] | None, apart: int) -> None:
    days = Days(*map(date.fromisoformat, baseline)) if baseline else None
    assert windows_between(days, Days(date(2026, 4, 1), date(2026, 7, 1))) == apart


K = GoalKind


@pytest.mark.parametrize(
    ("kind", "adds_up", "value", "before", "after"),
    [
        (K.INCREASE, True, 100.0, "achieved", "achieved"),  # a sum doesn't fall again
        (K.INCREASE, True, 99.0, None, "missed"),
        (K.REACH, True, 100.0, "achieved", "achieved"),
        (K.INCREASE, False, 120.0, None, "achieved"),  # a rate may
        (K.REACH, False, 99.0, None, "missed"),
        (K.KEEP_ABOVE, True, 120.0, None, "achieved"),
        (K.KEEP_ABOVE, False, 99.0, None, "missed"),
        (K.KEEP_BELOW, False, 100.0, None, "achieved"),
        (K.KEEP_BELOW, True, 101.0, None, "missed"),
        (K.DECREASE, True, 100.0, None, "achieved"),
        (K.DECREASE, False, 101.0, None, "missed"),
        (K.KEEP_BELOW, False, None, None, "missed"),  # nothing measured is nothing kept
    ],
)
def test_an_outcome_waits_for_the_end_of_the_window_unless_it_is_settled(
    kind: GoalKind, adds_up: bool, value: float | None, before: str | None, after: str
) -> None:
    downward = is_downward(kind, adds_up, None, 100.0, less_is_better=False)
    early = outcome(kind, downward, adds_up, value, 100.0, is_over=False)
    late = outcome(kind, downward, adds_up, value, 100.0, is_over=True)
    assert (early and early.state) == before
    assert late is not None
    assert late.state == after


@pytest.mark.parametrize(("value", "side"), [(99.0, "below"), (100.0, "at"), (101.0, "above")])
def test_an_outcome_says_on_which_side_of_the_target_it_ended(value: float, side: str) -> None:
    late = outcome(GoalKind.KEEP_BELOW, True, True, value, 100.0, is_over=True)
    assert late is not None
    assert f"was {side} the target" in late.reason


def test_an_outcome_is_decided_a_day_after_the_last_local_day() -> None:
    assert decides_at(Days(date(2026, 3, 1), date(2026, 4, 1)), "Europe/Berlin") == datetime(2026, 4, 1, 22, tzinfo=UTC)
    assert decides_at(Days(date(2026, 3, 1), date(2026, 4, 1)), "America/New_York") == datetime(
        2026, 4, 2, 4, tzinfo=UTC
    )


@pytest.mark.parametrize(
    ("baseline", "less_is_better", "downward"),
    [(5.0, False, True), (1.0, True, False), (None, True, True), (None, False, False), (2.0, True, True)],
)
def test_a_rate_is_to_be_reached_from_where_it_is(baseline: float | None, less_is_better: bool, downward: bool) -> None:
    assert is_downward(GoalKind.REACH, False, baseline, 2.0, less_is_better) is downward
    assert is_downward(GoalKind.REACH, True, baseline, 2.0, less_is_better) is False
