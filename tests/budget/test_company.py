"""What shares of the company's figures promise."""

from typing import Any

import httpx

from tests.budget.conftest import Person
from tests.budget.test_invoice import act, bring
from tests.budget.test_ledger import allot, money
from tests.budget.test_plan import open_line, wrong_fields
from tests.budget.test_revaluation import rates

YEAR = {"start": "2026-01-01", "end": "2027-01-01"}


async def say(budget: httpx.AsyncClient, **asked: Any) -> httpx.Response:
    wanted = {"name": "Revenue 2026", "kind": "revenue", "period": YEAR, "amount": money("3000"), **asked}
    return await budget.post("/v1/company-figures", json=wanted)


async def test_money_is_a_share_of_what_the_company_has_in_the_same_period(
    budget: httpx.AsyncClient, person: Person
) -> None:
    await rates(budget, "2026-06-15", "2")
    line = await open_line(budget, low_percent=0)
    await allot(budget, line, "50")
    await act(person("bob"), await bring(person("ada"), line, "5"), "post")
    await allot(budget, await open_line(budget, currency="USD", period={"start": "2026-03-01", "end": "2026-04-01"}),
                "100", "USD")  # fmt: skip
    await allot(budget, await open_line(budget, period={"start": "2026-03-01", "end": "2027-03-01"}), "900")
    figure = (await say(budget)).json()
    assert figure["share"] == {
        "planned": money("100.00"), "actual": money("5.00"), "planned_percent": "3.33", "actual_percent": "0.17"
    }  # fmt: skip
    assert (await budget.get("/v1/company-figures?kind=revenue")).json()["items"] == [figure]
    assert (await budget.get(f"/v1/company-figures/{figure['id']}")).json() == figure
    changed = await budget.patch(
        f"/v1/company-figures/{figure['id']}", json={"amount": money("400", "USD")}, headers={"If-Match": "1"}
    )
    assert changed.json()["share"]["planned_percent"] == "50.00"
    assert changed.json()["share"]["planned"] == money("200.00", "USD")
    unknown = await say(budget, name="Budget", kind="budget", amount=money("1", "XAU"))
    assert unknown.json()["share"] is None
    assert (await say(budget)).json()["code"] == "already_exists"


async def test_nothing_is_a_share_of_nothing(budget: httpx.AsyncClient) -> None:
    assert wrong_fields(await say(budget, amount=money("0"))) == ["amount.amount"]
    assert wrong_fields(await say(budget, kind="profit")) == ["kind"]
    empty = (await say(budget)).json()
    assert (empty["share"]["planned"], empty["share"]["planned_percent"]) == (money("0.00"), "0.00")
