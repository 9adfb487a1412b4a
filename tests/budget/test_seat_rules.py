"""What idle seats cost, to the cent, and how a list of uses is read."""

from contextlib import suppress
from datetime import date, timedelta
from fractions import Fraction
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.errors import Invalid
from services.budget.contract.rules import day_of_month
from services.budget.seat.rules import (
    Bought,
    Counted,
    Use,
    apportioned,
    cost_of_month,
    months_of,
    read_uses,
    waste,
)

BERLIN, TODAY = ZoneInfo("Europe/Berlin"), date(2026, 6, 15)
COSTS = st.integers(0, 10**15)
WEIGHTS = st.lists(st.fractions(0, 1000, max_denominator=366), min_size=1, max_size=20)
COUNTED = st.lists(
    st.tuples(st.sampled_from("abcdef"), st.integers(1, 50), st.integers(0, 50)).map(
        lambda each: Counted(each[0], each[1], min(each[1], each[2]))
    ),
    unique_by=lambda each: each.department, max_size=6,
)  # fmt: skip
SPANS = st.tuples(st.dates(date(2000, 1, 1), date(2100, 1, 1)), st.integers(1, 1500)).map(
    lambda each: (each[0], each[0] + timedelta(days=each[1]))
)


def bought(cost: int = 12_000_00, seats: int | None = 10, department: str = "a") -> Bought:
    return Bought(cost, "EUR", seats, department, date(2026, 1, 1), date(2027, 1, 1), 1)


@given(COSTS, WEIGHTS)
def test_parts_sum_to_the_whole_and_none_is_off_by_a_unit(total: int, weights: list[Fraction]) -> None:
    parts, whole = apportioned(total, weights), sum(weights)
    if whole:
        assert sum(parts) == total
        assert all(abs(part - total * weight / whole) < 1 for part, weight in zip(parts, weights, strict=True))
    else:
        assert not any(parts)


def test_what_is_left_goes_to_the_largest_remainders() -> None:
    assert apportioned(10, [1, 1, 1]) == [4, 3, 3]
    assert apportioned(10, [Fraction(1, 2), 1, 1]) == [2, 4, 4]


@given(SPANS)
def test_a_term_s_months_cover_it_without_a_gap(span: tuple[date, date]) -> None:
    months = months_of(*span, day_of_month(*span))
    assert (months[0][0], months[-1][1]) == span
    assert all(first[1] == second[0] for first, second in pairwise(months))


@given(COSTS, SPANS)
def test_the_months_of_a_term_cost_what_it_costs(cost: int, span: tuple[date, date]) -> None:
    turns_on = day_of_month(*span)
    months = months_of(*span, turns_on)
    assert sum(cost_of_month(cost, *span, turns_on, first) for first, _ in months) == cost


def test_whole_months_cost_the_same_but_for_a_cent() -> None:
    costs = [cost_of_month(100_00, date(2026, 1, 1), date(2027, 1, 1), 1, date(2026, n, 15)) for n in range(1, 13)]
    assert sorted(set(costs)) == [8_33, 8_34]
    assert cost_of_month(100_00, date(2026, 2, 28), date(2026, 3, 31), 31, TODAY) == 100_00


def test_a_cut_month_costs_as_much_less_as_it_is_shorter() -> None:
    term = (date(2026, 1, 1), date(2026, 2, 15), 1)
    assert [cost_of_month(150_00, *term, date(2026, month, 3)) for month in (1, 2)] == [100_00, 50_00]


@given(COSTS, COUNTED, st.none() | st.integers(1, 200), st.sampled_from("abz"))
def test_waste_is_the_idle_seats_share_and_departments_sum_to_it(
    cost: int, counted: list[Counted], seats: int | None, own: str
) -> None:
    found = waste(bought(cost, seats, own), counted, TODAY)
    if found is None:
        assert not counted
        assert not seats
        return
    assert sum(each.wasted for each in found.departments) == found.wasted_monthly <= found.cost_monthly
    assert sum(each.idle for each in found.departments) == found.idle
    assert found.assigned + found.unassigned == max(found.assigned, seats or 0)
    unused, whole = found.idle + found.unassigned, found.assigned + found.unassigned
    assert abs(found.wasted_monthly - Fraction(found.cost_monthly * unused, whole)) < len(counted) + 2
    assert abs(found.wasted_term - Fraction(cost * unused, whole)) < len(counted) + 2
    if not unused:
        assert found.wasted_monthly == found.wasted_term == 0
    if unused == whole:
        assert (found.wasted_monthly, found.wasted_term) == (found.cost_monthly, cost)


def test_idle_seats_cost_their_part_and_seats_of_nobody_are_the_contract_s_own_department_s() -> None:
    found = waste(bought(), [Counted("a", 4, 1), Counted("b", 3, 2)], TODAY)
    assert found
    assert (found.used, found.idle, found.unassigned, found.over) == (4, 3, 3, 0)
    assert (found.cost_monthly, found.wasted_monthly, found.wasted_term) == (1_000_00, 600_00, 7_200_00)
    assert [(each.department, each.wasted) for each in found.departments] == [("a", 400_00), ("b", 200_00)]


def test_seats_beyond_what_was_bought_are_told_and_cost_nothing_more() -> None:
    found = waste(bought(seats=2), [Counted("a", 4, 1)], TODAY)
    assert found
    assert (found.over, found.unassigned, found.wasted_monthly) == (2, 0, 250_00)
    assert waste(bought(seats=None), [], TODAY) is None


def test_a_bad_row_costs_no_other_and_nothing_it_holds_is_quoted() -> None:
    content = (
        "\ufeffDay;Name;E-Mail\n2026-06-01;Ann;ANN@Example.com\nyesterday;Bob;bob@example.com\n"
        "2026-06-16;Eve;eve@example.com\n\n2026-06-14T23:30:00Z;Dan;dan@example.com\n2026-06-01;;nobody\n2026-06-01\n"
    )
    uses, bad = read_uses(content, "e-mail", "day", BERLIN, TODAY)
    assert uses == [Use(1, "ann@example.com", date(2026, 6, 1)), Use(4, "dan@example.com", TODAY)]
    assert [(each.row, each.field, each.code) for each in bad] == [
        (2, "day", "malformed"), (3, "day", "impossible_day"), (5, "address", "malformed"), (6, "address", "malformed"),
    ]  # fmt: skip
    assert "bob" not in repr(bad)
    assert "eve" not in repr(bad)


@pytest.mark.parametrize("content", ["", "\n\n", "who,when\na@b.c,2026-06-01\n", '"address,day\n',
                                     "address,day,Day\na@b.c,2026-06-01,2026-06-02\n"])  # fmt: skip
def test_a_header_without_the_columns_is_refused(content: str) -> None:
    with pytest.raises(Invalid) as refusal:
        read_uses(content, "address", "day", BERLIN, TODAY)
    assert refusal.value.errors[0].field == "content"


@given(st.text(max_size=300))
def test_any_text_is_read_or_refused(content: str) -> None:
    with suppress(Invalid):
        uses, bad = read_uses(f"address,day\n{content}", "address", "day", BERLIN, TODAY)
        rows = [*(use.row for use in uses), *(each.row for each in bad)]
        assert len(set(rows)) == len(rows)
