"""What fiscal calendars promise, and what closing a period does."""

import itertools
from datetime import timedelta
from typing import Any

import httpx
from hypothesis import given
from hypothesis import strategies as st

from chassis.testing import Clock
from services.budget.fiscal.rules import WEEKS, Scheme, periods_of
from tests.budget.conftest import Person
from tests.budget.test_invoice import act, bring
from tests.budget.test_ledger import allot
from tests.budget.test_plan import open_line
from tests.budget.test_request import pots, sound

years, months = st.integers(1991, 2190), st.integers(1, 12)


@given(st.sampled_from(Scheme), years, months)
def test_periods_follow_each_other_without_a_gap_from_year_to_year(scheme: Scheme, year: int, month: int) -> None:
    days = periods_of(scheme, year, month) + periods_of(scheme, year + 1, month)
    assert all(one.end == other.start for one, other in itertools.pairwise(days))
    assert all(each.start < each.end for each in days)
    assert len({each.name for each in days}) == len(days)


@given(st.sampled_from(sorted(WEEKS)), years, months)
def test_by_weeks_each_quarter_has_thirteen_and_the_last_may_have_one_more(
    scheme: Scheme, year: int, month: int
) -> None:
    days = periods_of(scheme, year, month)
    weeks = [(each.end - each.start) // timedelta(weeks=1) for each in days]
    assert all(each.start.weekday() == 0 for each in days)
    assert weeks[:11] == list(WEEKS[scheme] * 4)[:11]
    assert sum(weeks) in (52, 53)


async def year_of(budget: httpx.AsyncClient, **calendar: Any) -> list[dict[str, Any]]:
    body = {"name": "Fiscal", "scheme": "months", **calendar}
    made = (await budget.post("/v1/calendars", json=body)).json()
    opened = await budget.post(f"/v1/calendars/{made['id']}/open-year", json={"year": 2026})
    assert opened.status_code == 200, opened.text
    again = await budget.post(f"/v1/calendars/{made['id']}/open-year", json={"year": 2026})
    assert again.status_code == 409
    periods: list[dict[str, Any]] = opened.json()["periods"]
    return periods


async def test_nothing_is_booked_in_a_closed_period_and_what_was_is_taken_back_in_an_open_one(
    budget: httpx.AsyncClient, person: Person, clock: Clock
) -> None:
    periods = await year_of(budget)
    line = await open_line(budget)
    await allot(budget, line, "100")
    early = await bring(person("ada"), line, "10", date="2026-04-30")
    assert (await act(person("bob"), early, "post"))["state"] == "posted"
    april, june = periods[3], periods[5]
    assert (await budget.post(f"/v1/periods/{june['id']}/close")).json()["code"] == "not_over"
    assert (await budget.post(f"/v1/periods/{april['id']}/close")).json()["state"] == "closed"
    late = await bring(person("ada"), line, "10", date="2026-04-30", number="2")
    assert (await act(person("bob"), late, "post"))["problem"] == "period_closed"
    opened_later = await open_line(budget)
    await allot(budget, opened_later, "100")
    elsewhere = await bring(person("ada"), opened_later, "10", date="2026-03-01", number="3")
    assert (await act(person("bob"), elsewhere, "post"))["problem"] == "period_closed"
    assert (await act(person("bob"), early, "reverse", {"reason": "twice"}))["state"] == "reversed"
    assert (await pots(budget, line))["available"] == "100.00"
    await act(person("ada"), late, "rebook", {"date": "2026-05-01"})
    assert (await act(person("bob"), late, "post"))["state"] == "posted"
    assert (await budget.post(f"/v1/periods/{april['id']}/reopen")).json()["state"] == "open"
    assert (await act(person("bob"), elsewhere, "post"))["state"] == "posted"
    await sound(budget)


async def test_periods_reopen_from_the_last_one_back(budget: httpx.AsyncClient) -> None:
    january, february, *_ = await year_of(budget)
    for period in (january, february):
        assert (await budget.post(f"/v1/periods/{period['id']}/close")).status_code == 200
    assert (await budget.post(f"/v1/periods/{january['id']}/close")).json()["code"] == "closed"
    assert (await budget.post(f"/v1/periods/{january['id']}/reopen")).json()["code"] == "not_the_last"
    for period in (february, january):
        assert (await budget.post(f"/v1/periods/{period['id']}/reopen")).json()["state"] == "open"


async def test_years_filter_and_none_is_larger_than_what_is_kept(budget: httpx.AsyncClient) -> None:
    made = await year_of(budget)
    years = {each["year"] for each in made}
    found = (await budget.get("/v1/periods", params={"year": [*years, 1990], "limit": 200})).json()["items"]
    assert {each["id"] for each in made} <= {each["id"] for each in found}
    assert (await budget.get("/v1/periods?year=1990")).json()["items"] == []
    assert (await budget.get("/v1/periods?year=99999999999")).status_code == 422
