"""What budget tells others, each once."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text

from services.budget.events import PUBLISHES
from tests.budget.conftest import Person
from tests.budget.test_invoice import act, bring, order
from tests.budget.test_ledger import allot, money
from tests.budget.test_plan import open_line
from tests.budget.test_statement import HEADER, save_mapping, settled, upload
from tests.parts import Workspace

Told = Callable[[str], Awaitable[list[Any]]]


@pytest.fixture
def told(apps: dict[str, FastAPI], workspace: Workspace) -> Told:
    async def of(kind: str) -> list[Any]:
        assert kind in {each.type for each in PUBLISHES}
        async with apps["budget"].state.database.tenant(workspace.id) as session:
            found = await session.scalars(text("SELECT data FROM outbox WHERE type = :t ORDER BY id"), {"t": kind})
            return list(found.all())

    return of


async def test_a_line_that_warns_says_that_it_was_overspent_when_it_is_and_not_again(
    budget: httpx.AsyncClient, person: Person, told: Told
) -> None:
    line = await open_line(budget, policy="warn", low_percent=0)
    await allot(budget, line, "10")
    for number, amount in enumerate(("10", "2.50", "1")):
        await act(person("bob"), await bring(person("ada"), line, amount, number=str(number)), "post")
    (over,) = await told("budget.line.overspent")
    assert over == {"line_id": line["id"], "campaign_id": None, "missing": money("2.50")}


async def test_what_was_ordered_moved_adopted_or_waits_is_told(
    budget: httpx.AsyncClient, person: Person, told: Told
) -> None:
    line, other = [await open_line(budget, low_percent=0) for _ in range(2)]
    await allot(budget, line, "100")
    request = await order(person, line, "20")
    assert [each["po_number"] for each in await told("budget.request.ordered")] == [request["po_number"]]
    invoice = await bring(person("ada"), line, "50", request_id=request["id"])
    await act(person("bob"), invoice, "post")
    assert [each["problem"] for each in await told("budget.invoice.exception")] == ["over_tolerance"]
    moved = {"from_line_id": line["id"], "to_line_id": other["id"], "amount": money("5"), "reason": "x"}
    for verb in ("approve", "reject"):
        transfer = (await person("ada").post("/v1/transfers", json=moved)).json()
        await person("bob").post(f"/v1/transfers/{transfer['id']}/{verb}")
    assert [each["state"] for each in await told("budget.transfer.decided")] == ["approved", "rejected"]
    scenario = (await budget.post("/v1/scenarios", json={"name": "x", "line_id": line["id"]})).json()
    assert (await budget.post(f"/v1/scenarios/{scenario['id']}/adopt")).status_code == 200
    (before,) = (await budget.get("/v1/scenarios", params={"before_id": scenario["id"]})).json()["items"]
    assert await told("budget.scenario.adopted") == [
        {"scenario_id": scenario["id"], "line_id": line["id"], "was_id": before["id"]}
    ]


async def test_an_import_tells_once_that_it_is_over_and_a_dry_run_nothing_of_what_it_tried(
    apps: dict[str, FastAPI], budget: httpx.AsyncClient, told: Told
) -> None:
    line = await open_line(budget, policy="warn", low_percent=0)
    mapping = await save_mapping(budget, line)
    for dry_run in ("true", "false"):
        sent = await upload(budget, mapping, f"{HEADER}\n01.06.2026;1,00;Ads;R1;;;\n", dry_run=dry_run)
        await settled(apps, budget, sent.json())
        assert len(await told("budget.line.overspent")) == (dry_run == "false")
    found = await told("budget.statement.finished")
    assert [(each["dry_run"], each["state"]) for each in found] == [(True, "done"), (False, "done")]
    assert {each["posted"] for each in found} == {1}


async def test_whatever_moves_a_lines_money_is_told_of_the_line(
    apps: dict[str, FastAPI], budget: httpx.AsyncClient, person: Person, told: Told
) -> None:
    line, other = [await open_line(budget, low_percent=0) for _ in range(2)]

    async def moved() -> list[str]:
        return [each["line_id"] for each in await told("budget.line.moved")]

    await allot(budget, line, "100")
    assert await moved() == [line["id"]]
    request = await order(person, line, "20")
    assert await moved() == [line["id"]] * 3
    too_much = await bring(person("ada"), line, "90", number="1")
    assert (await act(person("bob"), too_much, "post"))["state"] == "exception"
    assert len(await moved()) == 3
    invoice = await bring(person("ada"), line, "20", request_id=request["id"], number="2")
    assert (await act(person("bob"), invoice, "post"))["state"] == "posted"
    assert await moved() == [line["id"]] * 4
    transfer = {"from_line_id": line["id"], "to_line_id": other["id"], "amount": money("5"), "reason": "x"}
    proposed = (await person("ada").post("/v1/transfers", json=transfer)).json()
    await person("bob").post(f"/v1/transfers/{proposed['id']}/approve")
    assert sorted((await moved())[4:]) == sorted([line["id"], other["id"]])
    sent = await upload(budget, await save_mapping(budget, line), f"{HEADER}\n01.06.2026;1,00;Ads;R1;;;\n")
    await settled(apps, budget, sent.json())
    assert (await moved())[6:] == [line["id"]]
