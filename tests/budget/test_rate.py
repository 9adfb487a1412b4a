"""What exchange rates promise."""

from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.errors import Conflict, Invalid
from services.budget.rate.reference import table
from services.budget.rate.rules import OLDEST, Quote, Rate, cross, read_table, split
from tests.budget.test_plan import wrong_fields
from tests.parts import Connect, Workspace

DAY = date(2026, 6, 15)
rates = st.decimals("0.0001", "99999", places=4)


@given(st.integers(-(10**18), 10**18), st.lists(st.integers(0, 10**12), min_size=1, max_size=40))
def test_a_split_never_makes_or_loses_a_cent(total: int, weights: list[int]) -> None:
    parts = split(total, weights)
    assert sum(parts) == total
    whole = sum(weights) or len(weights)
    exact = [Fraction(total * weight, whole) for weight in (weights if any(weights) else [1] * len(weights))]
    assert all(abs(part - share) < 1 for part, share in zip(parts, exact, strict=True))


@given(st.integers(-(10**15), 10**15), rates, st.integers(-3, 3))
def test_a_conversion_is_the_nearest_minor_unit_and_a_half_goes_to_the_even_one(
    minor: int, value: Decimal, shift: int
) -> None:
    got = Rate("USD", "EUR", value, DAY, shift).of(minor)
    exact = minor * Fraction(value) * Fraction(10) ** shift
    assert abs(got - exact) <= Fraction(1, 2)
    assert abs(got - exact) < Fraction(1, 2) or got % 2 == 0


@given(rates, rates)
def test_a_cross_rate_goes_by_way_of_the_euro(one: Decimal, other: Decimal) -> None:
    quotes = {"USD": Quote(one, DAY), "GBP": Quote(other, DAY - timedelta(days=3))}
    rate = cross("USD", "GBP", DAY, quotes, 0)
    assert abs(Fraction(rate.value) * Fraction(one) / Fraction(other) - 1) < Fraction(1, 10**17)
    assert rate.day == DAY - timedelta(days=3)
    assert cross("USD", "USD", DAY, {}, 0).value == 1
    assert cross("EUR", "USD", DAY, quotes, 0).value == one


def test_a_rate_that_is_too_old_is_none() -> None:
    quotes = {"USD": Quote(Decimal("1.1"), DAY)}
    assert cross("USD", "EUR", DAY + OLDEST, quotes, 0).day == DAY
    for day, known in ((DAY + OLDEST + timedelta(days=1), quotes), (DAY, {})):
        with pytest.raises(Conflict) as refused:
            cross("USD", "EUR", day, known, 0)
        assert refused.value.code == "no_rate"


def test_the_shipped_table_knows_the_last_day_on_or_before() -> None:
    assert table().last("USD", date(2026, 10, 30)) == Quote(Decimal("1.1172"), date(2026, 10, 30))
    saturday = table().last("JPY", date(2026, 10, 31))
    assert saturday is not None
    assert saturday.day == date(2026, 10, 30)
    assert table().last("RUB", date(2026, 10, 30)) is None
    assert table().last("USD", date(1998, 12, 31)) is None


@pytest.mark.parametrize(
    "csv",
    ["", "USD\n1", "Date,USD", "Date,USDX\n2026-01-02,1", "Date,USD\n2026-13-02,1", "Date,USD\n2026-01-02,1e5",
     "Date,USD\n2026-01-02,-1", "Date,USD\n2026-01-02,0", "Date,USD\n2026-01-02,NaN", "Date,USD\n2026-01-02,N/A"],
)  # fmt: skip
def test_a_table_that_holds_something_else_is_refused(csv: str) -> None:
    with pytest.raises(Invalid) as refused:
        read_table(csv.splitlines())
    assert refused.value.errors[0].field == "csv"


def test_the_table_of_the_last_day_is_read_as_that_of_all_days() -> None:
    last = "\ufeffDate, USD, JPY, \n12 June 2026, 1.1172, 175.68, \n"
    assert read_table(last.splitlines()) == read_table("Date,USD,JPY\n2026-06-12,1.1172,175.68".splitlines())


async def value(budget: httpx.AsyncClient, currency: str, into: str, day: str) -> tuple[str, str]:
    answer = await budget.get("/v1/conversions", params={"currency": currency, "into": into, "day": day})
    assert answer.status_code == 200, answer.text
    (found,) = answer.json()["conversions"]
    return found["value"], found["day"]


async def test_imported_rates_come_before_the_shipped_ones_and_only_for_who_imported_them(
    budget: httpx.AsyncClient, connect: Connect, other_workspace: Workspace
) -> None:
    shipped = await value(budget, "EUR", "USD", "2026-06-14")
    assert shipped[1] == "2026-06-12"
    csv = "Date,USD,GBP,\n2026-06-12,1.5,0.75,\n2026-06-13,2,N/A,\n"
    taken = (await budget.post("/v1/rates", json={"csv": csv})).json()
    assert taken == {"rates": 3, "first": "2026-06-12", "last": "2026-06-13"}
    assert await value(budget, "EUR", "USD", "2026-06-12") == ("1.5", "2026-06-12")
    assert await value(budget, "EUR", "USD", "2026-06-14") == ("2", "2026-06-13")
    assert await value(budget, "USD", "GBP", "2026-06-12") == ("0.5", "2026-06-12")
    assert await value(connect("budget", other_workspace), "EUR", "USD", "2026-06-14") == shipped
    again = await budget.post("/v1/rates", json={"csv": "Date,USD\n2026-06-13,3"})
    assert again.status_code == 201
    assert await value(budget, "EUR", "USD", "2026-06-14") == ("3", "2026-06-13")
    listed = (await budget.get("/v1/rates", params={"currency": "USD", "sort": "day"})).json()["items"]
    assert [(each["day"], each["per_euro"]) for each in listed] == [("2026-06-12", "1.5"), ("2026-06-13", "3")]


async def test_a_table_with_one_wrong_row_brings_nothing(budget: httpx.AsyncClient) -> None:
    before = await value(budget, "EUR", "USD", "2026-06-12")
    assert wrong_fields(await budget.post("/v1/rates", json={"csv": "Date,USD\n2026-06-12,2\n2026-06-13,two"})) == [
        "csv"
    ]
    assert wrong_fields(await budget.post("/v1/rates", json={"csv": "Date,ZZZ\n2026-06-12,2"})) == ["csv"]
    assert await value(budget, "EUR", "USD", "2026-06-12") == before


async def test_no_rate_is_told_apart_from_no_such_currency(budget: httpx.AsyncClient) -> None:
    asked = {"currency": "USD", "into": "EUR", "day": "1998-01-01"}
    none = await budget.get("/v1/conversions", params=asked)
    assert (none.status_code, none.json()["code"]) == (409, "no_rate")
    assert wrong_fields(await budget.get("/v1/conversions", params=asked | {"into": "ZZZ"})) == ["into"]
