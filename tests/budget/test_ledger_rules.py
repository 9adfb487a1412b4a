"""What the arithmetic of the ledger promises, for any amounts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.errors import Invalid
from chassis.fields import Money
from services.budget.ledger.conversion import summed
from services.budget.ledger.models import Position
from services.budget.ledger.rules import LARGEST, Amounts, MixedCurrencies, allotment, runs_low, share

minors = st.integers(-LARGEST, LARGEST)
amounts = st.builds(Amounts, minors, minors, minors, minors, minors, minors)
currencies = st.sampled_from(["EUR", "JPY", "KWD"])


@given(amounts)
def test_what_is_available_is_what_no_pot_has_taken(balance: Amounts) -> None:
    assert (
        balance.available + balance.reserved + balance.committed + balance.actual
        == balance.allotted + balance.transferred
    )


@given(amounts, amounts)
def test_entries_add_up_pot_by_pot_whatever_their_order(one: Amounts, other: Amounts) -> None:
    assert one + other == other + one
    assert (one + other).available == one.available + other.available
    assert one + other + -other == one


@given(st.integers(0, LARGEST), amounts)
def test_money_that_moves_between_pots_changes_nothing_available(moved: int, balance: Amounts) -> None:
    for taker in ("committed", "actual"):
        move = Amounts(reserved=-moved) + Amounts(**{taker: moved})
        assert (balance + move).available == balance.available


@given(st.integers(0, 10**15), st.lists(st.integers(1, 10**9), min_size=1, max_size=8))
def test_what_is_held_goes_out_in_shares_and_nothing_of_it_is_lost(held: int, parts: list[int]) -> None:
    left, whole, gone = held, sum(parts), 0
    for part in parts:
        taken = share(left, whole, part)
        assert 0 <= taken <= left
        left, whole, gone = left - taken, whole - part, gone + taken
    assert (left, gone) == (0, held)


@given(st.lists(st.integers(-100, 100), min_size=1), st.integers(1, 99))
def test_running_low_is_said_at_each_crossing_and_never_twice_in_a_row(steps: list[int], percent: int) -> None:
    balance, low = Amounts(allotted=1000), False
    for step in steps:
        after = balance + Amounts(reserved=step)
        said = runs_low(balance, after, percent)
        assert not (said and low)
        low = after.available * 100 < after.allotted * percent
        balance = after


@given(st.integers(-LARGEST, 0))
def test_only_more_than_nothing_can_be_allotted(minor: int) -> None:
    with pytest.raises(Invalid) as refused:
        allotment(minor, "EUR", "EUR")
    assert refused.value.errors[0].field == "amount.amount"


@given(st.integers(1, LARGEST), currencies, currencies)
def test_an_allotment_is_in_the_currency_of_its_line(minor: int, currency: str, line_currency: str) -> None:
    if currency == line_currency:
        assert allotment(minor, currency, line_currency) == Amounts(allotted=minor)
    else:
        with pytest.raises(Invalid) as refused:
            allotment(minor, currency, line_currency)
        assert refused.value.errors[0].field == "amount.currency"


@given(st.dictionaries(currencies, amounts), currencies)
def test_without_rates_a_campaign_has_a_position_only_in_the_reporting_currency(
    sums: dict[str, Amounts], reporting: str
) -> None:
    decided = summed(sums, reporting, {})
    if set(sums) <= {reporting}:
        assert decided == sums.get(reporting, Amounts())
    else:
        assert isinstance(decided, MixedCurrencies)
        assert all(currency in decided.detail for currency in sums)


@given(amounts, currencies)
def test_a_position_shows_every_minor_unit(balance: Amounts, currency: str) -> None:
    position = Position.of_amounts(balance, currency)
    shown = [position.allotted, position.reserved, position.committed, position.actual, position.available]
    taken = [balance.reserved, balance.committed, balance.actual]
    assert [money.minor for money in shown] == [balance.allotted + balance.transferred, *taken, balance.available]
    places = {"EUR": 2, "JPY": 0, "KWD": 3}[currency]
    assert all(len(str(money.model_dump(mode="json")["amount"]).partition(".")[2]) == places for money in shown)


@given(st.integers(-(10**18) + 1, 10**18 - 1), currencies)
def test_an_amount_survives_the_wire(minor: int, currency: str) -> None:
    money = Money.of_minor(minor, currency)
    assert Money.model_validate_json(money.model_dump_json()) == money
    assert money.minor == minor
