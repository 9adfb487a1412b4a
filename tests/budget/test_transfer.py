"""What transfers between lines promise."""

from typing import Any

import httpx
from fastapi import FastAPI
from sqlalchemy import text

from tests.budget.conftest import Person
from tests.budget.test_ledger import allot, money
from tests.budget.test_plan import open_line, wrong_fields
from tests.budget.test_request import pots, sound
from tests.parts import Workspace


async def propose(client: httpx.AsyncClient, source: Any, target: Any, amount: str, currency: str = "EUR") -> Any:
    body = {"from_line_id": source["id"], "to_line_id": target["id"], "amount": money(amount, currency), "reason": "x"}
    created = await client.post("/v1/transfers", json=body)
    assert created.status_code == 201, created.text
    return created.json()


async def test_money_moves_when_somebody_else_approves_and_none_is_made_or_lost(
    budget: httpx.AsyncClient, person: Person, apps: dict[str, FastAPI], workspace: Workspace
) -> None:
    source, target = await open_line(budget), await open_line(budget, currency="JPY")
    await allot(budget, source, "100")
    await budget.post("/v1/rates", json={"csv": "Date,JPY\n2026-06-15,163.337"})
    transfer = await propose(person("ada"), source, target, "10.01")
    path = f"/v1/transfers/{transfer['id']}"
    assert (await person("ada").post(f"{path}/approve")).json()["code"] == "four_eyes"
    assert (await pots(budget, source))["available"] == "100.00"
    approved = (await person("bob").post(f"{path}/approve")).json()
    assert (approved["state"], approved["rate"]) == ("approved", "163.337")
    assert ((await pots(budget, source))["available"], (await pots(budget, target))["available"]) == ("89.99", "1635")
    assert (await person("bob").post(f"{path}/approve")).json()["code"] == "decided"
    async with apps["budget"].state.database.tenant(workspace.id) as session:
        moved = text("SELECT sum(original_minor) FROM entry WHERE kind = 'transfer'")
        assert await session.scalar(moved) == 0
    await sound(budget)


async def test_a_stop_line_gives_no_more_than_it_has(budget: httpx.AsyncClient, person: Person) -> None:
    source, target = await open_line(budget), await open_line(budget)
    await allot(budget, source, "5")
    transfer = await propose(person("ada"), source, target, "5.01")
    refused = await person("bob").post(f"/v1/transfers/{transfer['id']}/approve")
    assert (refused.status_code, refused.json()["missing"]) == (409, money("0.01"))
    assert (await pots(budget, target))["available"] == "0.00"
    assert (await person("bob").post(f"/v1/transfers/{transfer['id']}/reject")).json()["state"] == "rejected"


async def test_a_transfer_is_in_the_currency_of_the_line_that_gives(budget: httpx.AsyncClient) -> None:
    source, target = await open_line(budget), await open_line(budget)
    body = {"from_line_id": source["id"], "to_line_id": target["id"], "amount": money("5", "USD"), "reason": "x"}
    assert wrong_fields(await budget.post("/v1/transfers", json=body)) == ["amount.currency"]
    body |= {"to_line_id": source["id"], "amount": money("5")}
    assert wrong_fields(await budget.post("/v1/transfers", json=body)) == ["to_line_id"]
