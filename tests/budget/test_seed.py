"""What the demo's team does about money shows what there is to be seen."""

from datetime import date
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from chassis.demo import Stage, hour
from chassis.jobs import run_once
from chassis.testing import START, Clock
from services.budget.request import seed
from services.budget.request.actions import EXPIRE
from tests.budget.conftest import Person
from tests.budget.test_ledger import allot
from tests.budget.test_plan import open_line
from tests.budget.test_request import sound


@pytest.mark.parametrize("anchor", [date(2026, 6, 15), date(2028, 2, 29), date(2027, 1, 2)])
async def test_the_team_closes_approves_orders_takes_back_and_moves(
    budget: httpx.AsyncClient, person: Person, apps: dict[str, FastAPI], clock: Clock, anchor: date
) -> None:  # fmt: skip
    first = date(anchor.year - 2, anchor.month, 1)
    clock.forward(seconds=(hour(first) - clock.now).total_seconds())
    team = person("manager")
    roles = {role: {"Authorization": person(role).headers["Authorization"]}
             for role in ("admin", "manager", "specialist")}  # fmt: skip

    async def count() -> None:
        pass  # nothing of budget's waits for it

    async with httpx.AsyncClient(transport=httpx.ASGITransport(apps["budget"])) as http:
        stage = Stage(http, {"budget": "http://budget"}, roles, count)
        for year in range(anchor.year - 2, anchor.year + 1):
            period = {"start": f"{year}-01-01", "end": f"{year + 1}-01-01"}
            top = await open_line(team, name=f"Marketing {year}", period=period)
            await allot(team, top, "50000")
            for name in ("Brand", "Content", "Operations", "Demand generation"):
                line = await open_line(team, period=period, policy="warn", parent_id=top["id"])
                stage.ids[f"line:{name} {year}"] = line["id"]
                await allot(team, line, "10000")
        try:
            for act in seed.acts(first, anchor):
                clock.forward(seconds=(act.at - clock.now).total_seconds())
                stage.now = act.at
                await act.do(stage)
            await run_once(apps["budget"], EXPIRE, asked=True)
            found = {kind: await _states(team, kind) for kind in ("requests", "invoices", "transfers", "scenarios")}
            entries = (await team.get("/v1/entries?kind=revalue")).json()["items"]
            closed = (await team.get("/v1/periods?state=closed")).json()["items"]
        finally:
            clock.forward(seconds=(START - clock.now).total_seconds())
    await sound(budget)
    assert found["requests"] >= {"submitted", "expired", "committed", "part_invoiced", "voided", "closed"}
    assert found["invoices"] >= {"posted", "reversed", "exception"}
    assert found["transfers"] == {"approved", "proposed"}
    assert found["scenarios"] >= {"adopted"}
    assert len(entries) == 1
    assert [each["days"]["end"] for each in closed] == [f"{first.year + 1}-01-01"]


async def _states(budget: httpx.AsyncClient, kind: str) -> set[str]:
    found: list[dict[str, Any]] = (await budget.get(f"/v1/{kind}?limit=200")).json()["items"]
    return {each["state"] for each in found}
