"""What revaluations promise."""

from typing import Any

import httpx

from tests.budget.conftest import Person
from tests.budget.test_ledger import allot, money
from tests.budget.test_plan import open_line, wrong_fields
from tests.budget.test_request import ask, done, pots, sound


async def rates(budget: httpx.AsyncClient, day: str, usd: str) -> None:
    assert (await budget.post("/v1/rates", json={"csv": f"Date,USD\n{day},{usd}"})).status_code == 201


async def run(budget: httpx.AsyncClient, **asked: Any) -> dict[str, Any]:
    answer = await budget.post("/v1/revaluations", json=asked)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def held(budget: httpx.AsyncClient, person: Person, allotted: str, *amounts: str) -> dict[str, Any]:
    """A line in euros that holds dollars, pinned at one for one."""
    line = await open_line(budget, low_percent=0)
    await allot(budget, line, allotted)
    await rates(budget, "2026-06-15", "1")
    for amount in amounts:
        await done(person("bob"), await ask(person("ada"), line, amount, "USD"), "approve")
    return line


async def test_what_is_held_is_worth_what_the_day_says_and_an_entry_explains_it(
    budget: httpx.AsyncClient, person: Person
) -> None:
    line = await held(budget, person, "100", "10", "20")
    await rates(budget, "2026-06-15", "0.8")
    dry = await run(budget, dry_run=True)
    assert [each["difference"] for each in dry["revalued"]] == [money("2.50"), money("5.00")]
    assert (await pots(budget, line))["reserved"] == "30.00"
    assert await run(budget) == dry | {"dry_run": False}
    position = (await budget.get(f"/v1/lines/{line['id']}/position")).json()
    assert (position["reserved"], position["fx"]) == (money("37.50"), money("7.50"))
    entries = (await budget.get(f"/v1/entries?line_id={line['id']}&kind=revalue")).json()["items"]
    assert [(each["rate"], each["rate_on"], each["reason"]) for each in entries] == [
        ("1.25", "2026-06-15", "revaluation as of 2026-06-15")
    ] * 2
    await sound(budget)


async def test_run_again_for_a_day_or_for_one_before_it_does_nothing(budget: httpx.AsyncClient, person: Person) -> None:
    line = await held(budget, person, "100", "10")
    await rates(budget, "2026-06-15", "0.8")
    assert len((await run(budget))["revalued"]) == 1
    await rates(budget, "2026-06-14", "0.5")
    for asked in ({}, {"day": "2026-06-15"}, {"day": "2026-06-14"}):
        assert (await run(budget, **asked))["revalued"] == []
    assert (await pots(budget, line))["reserved"] == "12.50"


async def test_what_does_not_fit_is_an_exception_and_costs_no_other(budget: httpx.AsyncClient, person: Person) -> None:
    line = await held(budget, person, "33", "10", "20")
    await rates(budget, "2026-06-15", "0.8")
    found = await run(budget)
    assert [each["difference"]["amount"] for each in found["revalued"]] == ["2.50"]
    (refused,) = found["exceptions"]
    assert (refused["problem"], refused["difference"], refused["available"]) == (
        "does_not_fit", money("5.00"), money("0.50"),
    )  # fmt: skip
    assert await pots(budget, line) == {
        "reserved": "32.50", "committed": "0.00", "actual": "0.00", "available": "0.50"
    }  # fmt: skip
    await allot(budget, line, "10")
    assert (await run(budget))["exceptions"] == []
    await sound(budget)


async def test_a_day_that_has_no_rates_yet_is_refused(budget: httpx.AsyncClient) -> None:
    assert wrong_fields(await budget.post("/v1/revaluations", json={"day": "2026-06-16"})) == ["day"]
