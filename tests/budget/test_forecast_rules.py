"""What is foreseen of money, whatever it is."""

from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

from hypothesis import example, given
from hypothesis import strategies as st

from services.budget.forecast.rules import Outlook, apportion, converted, outlook, pace_since
from services.budget.ledger.rules import Amounts
from services.budget.rate.rules import Rate

START, END = date(2026, 1, 1), date(2027, 1, 1)
minors = st.integers(-(10**17), 10**17)
held = st.integers(0, 10**17)
parts = st.fractions(-(10**15), 10**15)


@st.composite
def outlooks(draw: st.DrawFn) -> Outlook:
    start = draw(st.dates(date(2000, 1, 1), date(2100, 1, 1)))
    end = start + timedelta(days=draw(st.integers(1, 1500)))
    day = start + timedelta(days=draw(st.integers(-100, 1700)))
    now = Amounts(*draw(st.tuples(held, minors, held, held, minors, minors, minors)))
    return outlook(start, end, day, now, draw(minors), draw(st.none() | minors))


@given(outlooks())
def test_the_causes_are_exactly_what_is_spent_beyond_what_was_planned_by_then(found: Outlook) -> None:
    assert found.causes.total == found.figures.actual - found.figures.planned_to_date
    # What time makes up for is no difference at the end: all others are.
    by_end = found.causes.total - found.causes.timing
    assert by_end == found.figures.at_end - found.figures.planned


@given(outlooks(), st.decimals("0.0001", "10000", places=6), st.integers(-3, 3))
def test_converted_they_still_are_and_each_is_off_by_a_unit_or_two_at_most(
    found: Outlook, value: Decimal, shift: int
) -> None:
    rate = Rate("USD", "EUR", value, START, shift)
    other = converted(found, rate)
    assert other.causes.total == other.figures.actual - other.figures.planned_to_date
    factor = Fraction(value) * Fraction(10) ** shift
    for name, minor in vars(found.causes).items():
        assert abs(getattr(other.causes, name) - minor * factor) <= 2
    assert other.figures.planned == rate.of(found.figures.planned)


@given(st.lists(outlooks(), min_size=1, max_size=5))
def test_a_sum_of_lines_is_explained_by_the_sums_of_their_causes(found: list[Outlook]) -> None:
    whole = sum(found, start=Outlook())
    assert whole.causes.total == whole.figures.actual - whole.figures.planned_to_date
    unknown = any(each.figures.optional is None for each in found)
    assert (whole.figures.optional is None) == unknown


@given(st.lists(parts, min_size=1, max_size=6), st.integers(-3, 3))
@example([Fraction(1, 3)] * 3, 0)
@example([Fraction(-1, 2), Fraction(1, 2)], 0)
def test_parts_are_exactly_the_whole_and_next_to_their_share(exact: list[Fraction], off: int) -> None:
    whole = round(sum(exact)) + off
    found = apportion(whole, exact)
    assert sum(found) == whole
    if not off:
        assert all(abs(part - share) < 1 or share == part for part, share in zip(found, exact, strict=True))


@given(held, held, held, minors, st.integers(0, 400))
def test_what_is_left_is_what_was_promised_or_the_pace_whichever_is_more(
    reserved: int, committed: int, actual: int, lately: int, days: int
) -> None:
    now = Amounts(allotted=1, reserved=reserved, committed=committed, actual=actual)
    found = outlook(START, END, START + timedelta(days=days), now, lately, 0).figures
    assert found.left == max(reserved + committed, found.pace)
    assert found.pace >= 0
    if days + 1 < 28 or days + 1 >= 365 or lately <= 0:
        assert found.pace == 0
    else:
        assert found.pace == round(Fraction(lately * (365 - days - 1), min(days + 1, 90)))


def test_money_is_planned_evenly_over_the_days_of_its_period() -> None:
    now = Amounts(allotted=36_500)
    days = [START + timedelta(days=each) for each in (-1, 0, 99, 364, 500)]
    found = [outlook(START, END, day, now, 0, 0).figures.planned_to_date for day in days]
    assert found == [0, 100, 10_000, 36_500, 36_500]


def test_the_pace_is_that_of_ninety_days() -> None:
    day = date(2026, 6, 15)
    assert (day - pace_since(day)).days + 1 == 90
