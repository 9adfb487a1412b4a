"""What a goal's letters promise: verdicts that rest on what is known, and say so."""

from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.goals.evaluation.achievable import growth, growths, rank_of_growth, rank_of_level, since_it_began
from services.goals.evaluation.smart import Facts, Letter, LetterName, Verdict, failing, judge
from services.goals.goal.rules import LONGEST_DAYS, Days, GoalKind

YEAR = Days(date(2026, 1, 1), date(2027, 1, 1))
# Nine windows with eight changes: +10, -10, +20, 0, +30, +10, -5, +40 %.
PAST = (100.0, 110.0, 99.0, 118.8, 118.8, 154.44, 169.884, 161.3898, 225.94572)
GOOD = {
    "kind": GoalKind.INCREASE, "downward": False, "metric_key": "email.total_clicks", "campaigns": 1,
    "idle_campaigns": 0, "unowned_campaigns": 0, "metric_known": True, "version": 1, "pinned_version": None,
    "adds_up": True, "unit": "clicks", "baseline_days": Days(date(2025, 1, 1), date(2026, 1, 1)), "baseline": 1000.0,
    "needs_baseline": True, "target": 1250.0, "scale": Decimal(1), "past": PAST, "objective": "Grow", "relevance": "",
    "allotted": Decimal(900), "available": Decimal(500), "window": YEAR, "today": date(2026, 6, 15),
}  # fmt: skip


def letters(**change: object) -> dict[str, Letter]:
    return {each.letter: each for each in judge(Facts(**{**GOOD, **change}))}  # type: ignore[arg-type]


def failed(**change: object) -> list[str]:
    return failing((each.letter, each.verdict) for each in letters(**change).values())


def test_a_sound_goal_passes() -> None:
    assert list(letters()) == list(LetterName)
    assert failed() == []


@pytest.mark.parametrize(
    ("change", "letter"),
    [
        ({"metric_known": False}, "M"),
        ({"metric_known": None}, "M"),
        ({"baseline": None}, "M"),
        ({"baseline": 0.0}, "M"),
        ({"version": 2, "pinned_version": 1}, "M"),
        ({"kind": GoalKind.REACH, "needs_baseline": False, "target": 0.0}, "M"),
        ({"target": 1500.0}, "A"),
        ({"objective": None}, "R"),
        ({"available": Decimal(0)}, "R"),
        ({"available": Decimal(-1)}, "R"),
        ({"unowned_campaigns": 1}, "R"),
        ({"idle_campaigns": 1}, "R"),
        ({"today": date(2027, 1, 1)}, "T"),
        ({"window": Days(date(2026, 1, 1), date(2032, 1, 1))}, "T"),
    ],
)
def test_a_goal_fails_by_the_letter_that_is_wrong(change: dict[str, object], letter: str) -> None:
    assert failed(**change) == [letter]


@pytest.mark.parametrize(
    ("change", "letter", "words"),
    [
        ({"campaigns": 0}, "S", "whole workspace"),
        ({"baseline_days": Days(date(2025, 1, 1), date(2026, 6, 2)), "today": date(2026, 6, 1)}, "M", "isn't over"),
        ({"past": None}, "A", "isn't known yet"),
        ({"past": PAST[:7]}, "A", "it takes 8 earlier windows of this length, and 7 are known"),
        ({"target": 1300.0}, "A", "ambitious"),
        ({}, "R", "team"),
        ({"allotted": None, "available": None}, "R", "isn't known"),
        ({"allotted": Decimal(0), "available": Decimal(0)}, "R", "No money is set aside"),
        ({"campaigns": 3, "idle_campaigns": 2}, "R", "2 of them are over or cancelled"),
        ({"window": Days(date(2026, 6, 20), date(2026, 6, 21))}, "T", "too short"),
        ({"today": date(2026, 7, 3)}, "T", "More than half"),
    ],
)
def test_what_is_doubtful_warns_and_says_why(change: dict[str, object], letter: str, words: str) -> None:
    found = letters(**change)[letter]
    assert found.verdict is Verdict.WARN
    assert words in found.reason


def test_a_target_that_is_scaled_says_so_and_asks_for_the_same_growth() -> None:
    found = letters(scale=Decimal("0.5"), target=625.0)
    assert "scaled by 0.5" in found["M"].reason
    assert found["A"].evidence["change_percent"] == 25.0


@pytest.mark.parametrize(
    "change",
    [
        {"window": Days(date(2026, 6, 20), date(2026, 6, 22))},  # two days
        {"window": Days(date(2026, 6, 10), date(2026, 6, 20))},  # half of it gone, and no more
        {"window": Days(date(2026, 6, 15), date(2026, 6, 15) + timedelta(days=LONGEST_DAYS))},
    ],
)
def test_a_window_within_its_bounds_passes(change: dict[str, object]) -> None:
    assert letters(**change)["T"].verdict is Verdict.PASS


def test_a_goal_without_campaigns_is_not_held_to_be_stopped() -> None:
    found = letters(campaigns=0, allotted=None, available=None)["R"]
    assert (found.verdict, "No campaign carries it" in found.reason) == (Verdict.WARN, True)


# Ten changes, of 1 to 10 %.
RISING = [100.0]
for percent in range(1, 11):
    RISING.append(RISING[-1] * (1 + percent / 100))


def test_more_than_four_fifths_of_what_was_seen_is_ambitious() -> None:
    for target, percentile, verdict in ((1085.0, 80, Verdict.PASS), (1090.0, 85, Verdict.WARN)):
        found = letters(past=tuple(RISING), target=target)["A"]
        assert (found.evidence["percentile"], found.verdict) == (percentile, verdict)


def test_eight_windows_are_enough_and_seven_are_not() -> None:
    keep = {"kind": GoalKind.KEEP_ABOVE, "needs_baseline": False, "baseline_days": None, "baseline": None}
    for windows, judged in ((7, False), (8, True)):
        for change in ({}, {**keep, "target": 115.0}):
            found = letters(past=PAST[:windows], **change)["A"].evidence
            assert (found["windows"], found["percentile"] is not None) == (windows, judged)


def test_seven_levels_have_no_percentile() -> None:
    assert rank_of_level([1.0] * 7, True, 1.0, downward=False).percentile is None
    assert rank_of_level([1.0] * 8, True, 1.0, downward=False).percentile == 50


def test_like_growth_is_equal_growth() -> None:
    assert growth(100.0, 110.0) == growth(10.0, 11.0) == growth(3.0, 3.3) == 0.1


def test_an_overridden_letter_fails_no_more() -> None:
    verdicts = [("A", "fail"), ("R", "fail"), ("T", "warn")]
    assert failing(verdicts, {"A"}) == ["R"]


def test_achievable_tells_the_percentile_and_what_it_rests_on() -> None:
    """By hand: of +10, -10, +20, 0, +30, +10, -5, +40 % six lie below +25 %: 6 of 8 are 75 %."""
    found = letters(target=1250.0)["A"]
    assert found.verdict is Verdict.PASS
    assert found.evidence == {
        "change_percent": 25.0, "percentile": 75.0, "windows": 9, "windows_needed": 8, "windows_apart": 1,
        "compared": 8, "reached_by": 2, "lower_quartile": -1.25, "median": 10.0, "upper_quartile": 22.5,
    }  # fmt: skip


def test_a_decrease_is_measured_the_other_way_round() -> None:
    """By hand: of the eight changes one fell by 10 %; the one by 5 % and the six others fell short of it."""
    down = {"kind": GoalKind.DECREASE, "downward": True}
    assert letters(**down, target=900.0)["A"].evidence["percentile"] == 93.75  # the tie counts half
    assert letters(**down, target=900.0)["A"].verdict is Verdict.WARN
    assert letters(**down, target=890.0)["A"].verdict is Verdict.FAIL


def test_what_is_to_be_kept_is_compared_with_levels() -> None:
    keep = {"kind": GoalKind.KEEP_ABOVE, "needs_baseline": False, "baseline_days": None, "baseline": None}
    found = letters(**keep, target=115.0)["A"]
    assert (found.evidence["level"], found.evidence["reached_by"], found.verdict) == (115.0, 6, Verdict.PASS)
    assert letters(**keep, target=300.0)["A"].verdict is Verdict.FAIL


def test_without_a_baseline_the_window_before_is_what_is_grown_from() -> None:
    reach = {"kind": GoalKind.REACH, "needs_baseline": False, "baseline_days": None, "baseline": None}
    assert letters(**reach, target=PAST[-1] * 1.25)["A"].evidence["change_percent"] == 25.0
    assert letters(**reach, target=5.0, past=(*PAST[:-1], None))["A"].verdict is Verdict.WARN


def test_growth_from_a_year_before_is_compared_with_growth_from_a_year_before() -> None:
    """A metric that trebles each Christmas quarter hasn't grown by 200 % in any year."""
    past = tuple(float(each) for year in range(1, 6) for each in (100 * year, 100 * year, 100 * year, 300 * year))
    quarter = Days(date(2026, 10, 1), date(2027, 1, 1))
    before = {"window": quarter, "past": past, "baseline": 1000.0, "target": 3000.0}
    assert letters(**before, baseline_days=Days(date(2025, 10, 1), date(2026, 1, 1)))["A"].verdict is Verdict.FAIL
    assert letters(**before, baseline_days=Days(date(2026, 7, 1), date(2026, 10, 1)))["A"].verdict is not Verdict.FAIL


def test_gaps_and_growth_from_nothing_are_left_out() -> None:
    assert since_it_began([None, 0.0, 0.0, 5.0, 0.0, 4.0], adds_up=True) == [5.0, 0.0, 4.0]
    assert since_it_began([None, 0.0, 5.0], adds_up=False) == [0.0, 5.0]  # a rate of 0 was measured
    assert growths([10.0, 0.0, 4.0, None, 8.0, 12.0], 1) == [-1.0, 0.5]
    assert growths([10.0, None, 15.0], 2) == [0.5]


past_values = st.lists(st.one_of(st.none(), st.floats(0, 1e6)), max_size=30)


@given(past_values, st.floats(-0.99, 10), st.floats(0, 10), st.booleans())
def test_asking_for_more_is_never_more_usual(
    past: list[float | None], asked: float, more: float, downward: bool
) -> None:
    further = asked - more if downward else asked + more
    one, other = (rank_of_growth(past, True, 1, each, downward) for each in (asked, further))
    assert (one.percentile is None) == (other.percentile is None)
    if one.percentile is not None and other.percentile is not None:
        assert 0 <= one.percentile <= other.percentile <= 100
    assert other.reached <= one.reached


@given(past_values, st.floats(-0.99, 10))
def test_fewer_than_eight_windows_have_no_percentile(past: list[float | None], asked: float) -> None:
    rank = rank_of_growth(past, False, 1, asked, downward=False)
    assert rank.windows == sum(each is not None for each in past)
    if rank.windows < 8:
        assert rank.percentile is None
        assert rank_of_level(past, False, asked, downward=False).percentile is None


@given(st.lists(st.integers(1, 1000), min_size=9, max_size=20), st.integers(2, 64), st.floats(-0.9, 5))
def test_the_metrics_unit_does_not_matter(past: list[int], unit: int, asked: float) -> None:
    power = 2.0**unit  # exact in binary
    plain = rank_of_growth([float(each) for each in past], True, 1, asked, downward=False)
    scaled = rank_of_growth([each * power for each in past], True, 1, asked, downward=False)
    assert plain == scaled
