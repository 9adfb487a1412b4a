"""What scenarios promise."""

from typing import Any
from uuid import UUID

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.budget.scenario.rules import shift
from tests.budget.conftest import Person
from tests.budget.test_ledger import allot, money
from tests.budget.test_plan import open_line, wrong_fields
from tests.budget.test_request import ask, done, sound

Tree = dict[str, dict[str, Any]]


@pytest.fixture
async def tree(budget: httpx.AsyncClient) -> Tree:
    """A year with 100 euros, of which its two campaigns have 30 and 20."""
    year = await open_line(budget, low_percent=0)
    await allot(budget, year, "100")
    found = {"year": year}
    for name, amount in (("spring", "30"), ("autumn", "20")):
        found[name] = await open_line(budget, parent_id=year["id"], low_percent=0)
        await allot(budget, found[name], amount)
    return found


async def copied(budget: httpx.AsyncClient, line: dict[str, Any]) -> dict[str, Any]:
    made = await budget.post("/v1/scenarios", json={"name": "No fair", "line_id": line["id"]})
    assert made.status_code == 201, made.text
    found: dict[str, Any] = made.json()
    return found


async def plan(budget: httpx.AsyncClient, scenario: Any, line: Any, **change: Any) -> httpx.Response:
    asked = {"scenario_id": scenario["id"], "line_id": line["id"]}
    (item,) = (await budget.get("/v1/scenario-lines", params=asked)).json()["items"]
    return await budget.patch(
        f"/v1/scenario-lines/{item['id']}", json=change, headers={"If-Match": str(item["version"])}
    )


async def beside(budget: httpx.AsyncClient, scenario: Any, tree: Tree) -> dict[str, tuple[str, str, str]]:
    found = (await budget.get(f"/v1/scenarios/{scenario['id']}/comparison")).json()["lines"]
    names = {line["id"]: name for name, line in tree.items()}
    return {
        names[each["line_id"]]: (each["now"]["amount"], each["scenario"]["amount"], each["difference"]["amount"])
        for each in found
    }


async def test_a_copy_is_what_the_lines_are_and_what_is_planned_stands_beside_it(
    budget: httpx.AsyncClient, tree: Tree
) -> None:
    scenario = await copied(budget, tree["year"])
    assert await beside(budget, scenario, tree) == {
        "year": ("50.00", "50.00", "0.00"), "spring": ("30.00", "30.00", "0.00"), "autumn": ("20.00", "20.00", "0.00")
    }  # fmt: skip
    assert (await plan(budget, scenario, tree["spring"], amount=money("45"))).status_code == 200
    await allot(budget, tree["autumn"], "5")
    assert await beside(budget, scenario, tree) == {
        "year": ("45.00", "50.00", "5.00"), "spring": ("30.00", "45.00", "15.00"), "autumn": ("25.00", "20.00", "-5.00")
    }  # fmt: skip


async def test_adopted_every_line_has_what_the_scenario_says_and_its_days(
    budget: httpx.AsyncClient, tree: Tree
) -> None:
    scenario = await copied(budget, tree["year"])
    days = {"start": tree["spring"]["period"]["start"], "end": "2026-11-01"}
    for name, amount in (("year", "10"), ("spring", "65"), ("autumn", "5")):
        more = {"period": days} if name == "spring" else {}
        assert (await plan(budget, scenario, tree[name], amount=money(amount), **more)).status_code == 200
    adopted = await budget.post(f"/v1/scenarios/{scenario['id']}/adopt")
    assert adopted.json()["state"] == "adopted", adopted.text
    assert {each[:2] for each in (await beside(budget, scenario, tree)).values()} == {
        ("10.00", "10.00"), ("65.00", "65.00"), ("5.00", "5.00")
    }  # fmt: skip
    assert (await budget.get(f"/v1/lines/{tree['spring']['id']}")).json()["period"] == days
    assert (await budget.post(f"/v1/scenarios/{scenario['id']}/adopt")).json()["code"] == "not_a_draft"
    assert (await plan(budget, scenario, tree["year"], amount=money("1"))).json()["code"] == "not_a_draft"
    await sound(budget)


async def test_what_was_the_plan_is_kept_as_a_version_that_can_be_adopted_again(
    budget: httpx.AsyncClient, tree: Tree
) -> None:
    async def versions() -> list[str]:
        found = (await budget.get("/v1/scenarios", params={"line_id": tree["year"]["id"]})).json()["items"]
        return [each["state"] for each in found]

    async def adopt(scenario: dict[str, Any]) -> dict[str, Any]:
        headers = {"If-Match": str(scenario["version"])}
        answer = await budget.post(f"/v1/scenarios/{scenario['id']}/adopt", headers=headers)
        assert answer.status_code == 200, answer.text
        (before,) = (await budget.get("/v1/scenarios", params={"before_id": scenario["id"]})).json()["items"]
        return dict(before)

    scenario = await copied(budget, tree["year"])
    shorter = {"start": "2026-01-01", "end": "2026-09-01"}
    await plan(budget, scenario, tree["spring"], amount={"amount": "10", "currency": "EUR"}, period=shorter)
    await plan(budget, scenario, tree["year"], amount={"amount": "80", "currency": "EUR"})
    before = await adopt(scenario)
    assert (before["name"], before["state"], before["before_id"]) == ("Before No fair", "draft", scenario["id"])
    assert await beside(budget, before, tree) == {
        "year": ("80.00", "50.00", "-30.00"), "spring": ("10.00", "30.00", "20.00"),
        "autumn": ("20.00", "20.00", "0.00"),
    }  # fmt: skip
    await adopt(before)
    line = (await budget.get(f"/v1/lines/{tree['spring']['id']}")).json()
    assert line["period"] == tree["spring"]["period"]
    comparison = (await budget.get(f"/v1/scenarios/{before['id']}/comparison")).json()["lines"]
    assert {each["difference"]["amount"] for each in comparison} == {"0.00"}
    assert await versions() == ["adopted", "adopted", "draft"]
    await sound(budget)


async def test_what_is_promised_stays_and_then_nothing_is_adopted(
    budget: httpx.AsyncClient, person: Person, tree: Tree
) -> None:
    await done(person("bob"), await ask(person("ada"), tree["autumn"], "18"), "approve")
    scenario = await copied(budget, tree["year"])
    await plan(budget, scenario, tree["autumn"], amount=money("10"))
    await plan(budget, scenario, tree["spring"], amount=money("90"))
    refused = await budget.post(f"/v1/scenarios/{scenario['id']}/adopt")
    assert (refused.status_code, refused.json()["code"]) == (409, "does_not_fit")
    assert refused.json()["line_id"] == tree["autumn"]["id"]
    assert (refused.json()["available"], refused.json()["missing"]) == (money("2.00"), money("8.00"))
    assert (await beside(budget, scenario, tree))["spring"] == ("30.00", "90.00", "60.00")
    assert (await budget.get(f"/v1/scenarios/{scenario['id']}")).json()["state"] == "draft"
    await sound(budget)


async def test_below_another_line_it_takes_from_there_and_gives_back(budget: httpx.AsyncClient, tree: Tree) -> None:
    for amount, left in (("80", "0.00"), ("20", "60.00")):
        scenario = await copied(budget, tree["spring"])
        await plan(budget, scenario, tree["spring"], amount=money(amount))
        assert (await budget.post(f"/v1/scenarios/{scenario['id']}/adopt")).status_code == 200
        position = (await budget.get(f"/v1/lines/{tree['year']['id']}/position")).json()
        assert position["available"] == money(left)
    await sound(budget)


async def test_days_outside_of_the_line_above_are_not_adopted(budget: httpx.AsyncClient, tree: Tree) -> None:
    scenario = await copied(budget, tree["year"])
    await plan(budget, scenario, tree["spring"], period={"start": "2020-01-01", "end": "2030-01-01"})
    assert wrong_fields(await budget.post(f"/v1/scenarios/{scenario['id']}/adopt")) == ["period"]


async def test_what_makes_no_sense_is_refused_by_its_field(budget: httpx.AsyncClient, tree: Tree) -> None:
    scenario = await copied(budget, tree["year"])
    assert wrong_fields(await plan(budget, scenario, tree["year"], amount=money("-1"))) == ["amount.amount"]
    assert wrong_fields(await plan(budget, scenario, tree["year"], amount=money("1", "USD"))) == ["amount.currency"]
    unknown = {"name": "x", "line_id": scenario["id"]}
    assert wrong_fields(await budget.post("/v1/scenarios", json=unknown)) == ["line_id"]


async def test_a_discarded_one_is_read_and_no_more(budget: httpx.AsyncClient, tree: Tree) -> None:
    scenario = await copied(budget, tree["year"])
    path = f"/v1/scenarios/{scenario['id']}"
    renamed = await budget.patch(path, json={"name": "Fair"}, headers={"If-Match": "1"})
    assert (renamed.json()["name"], renamed.json()["version"]) == ("Fair", 2)
    assert (await budget.post(f"{path}/discard")).json()["state"] == "discarded"
    assert (await budget.post(f"{path}/adopt")).json()["code"] == "not_a_draft"
    assert [each["id"] for each in (await budget.get("/v1/scenarios?state=discarded")).json()["items"]] == [
        scenario["id"]
    ]


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), min_size=1, max_size=6))
def test_a_shift_leaves_what_is_wanted_and_makes_no_money(amounts: list[tuple[int, int]]) -> None:
    ids = [UUID(int=place) for place in range(len(amounts))]
    now, wanted = ({each: pair[side] for each, pair in zip(ids, amounts, strict=True)} for side in (0, 1))
    found = shift(ids[0], now, wanted)
    assert sum(found.within.values()) == 0
    after = {each: now[each] + found.within.get(each, 0) + found.outside * (each == ids[0]) for each in ids}
    assert after == wanted
