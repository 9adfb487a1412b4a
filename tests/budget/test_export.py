"""What is taken away as tables promises."""

import csv
import io
from typing import Any
from uuid import uuid4

import httpx
import pytest

from services.budget.export import api
from services.budget.export.rules import SHEETS, ExportKind
from tests.budget.conftest import Person
from tests.budget.test_invoice import act, bring, order
from tests.budget.test_ledger import allot, money
from tests.budget.test_plan import open_line
from tests.budget.test_revaluation import rates
from tests.parts import Connect, Workspace


async def table(client: httpx.AsyncClient, kind: str) -> list[dict[str, str]]:
    answer = await client.get(f"/v1/exports/{kind}")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/csv")
    return list(csv.DictReader(io.StringIO(answer.text)))


def told(row: dict[str, str], *names: str) -> dict[str, str]:
    return {name: row[name] for name in names}


async def test_all_of_it_is_taken_away_with_money_as_amounts_and_nothing_that_runs(
    budget: httpx.AsyncClient, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "BATCH", 2)
    await rates(budget, "2026-06-15", "0.8")
    line = await open_line(budget, name="=1+1", policy="warn", low_percent=0, channel="email")
    await allot(budget, line, "10")
    asset = str(uuid4())
    request = await order(person, line, "20", "USD", vendor="@Studio", asset_ids=[asset])
    assert request["asset_ids"] == [asset]
    invoice = await bring(person("ada"), line, "20", currency="USD", request_id=request["id"])
    await act(person("bob"), invoice, "post")
    (found,) = await table(budget, "lines")
    assert told(found, "name", "channel", "currency", "allotted", "actual", "available") == {
        "name": "'=1+1", "channel": "email", "currency": "EUR", "allotted": "10.00", "actual": "25.00",
        "available": "-15.00",
    }  # fmt: skip
    entries = await table(budget, "entries")
    assert [each["kind"] for each in entries] == ["allot", "reserve", "commit", "actual"]
    assert told(entries[1], "line", "currency", "reserved", "available", "original", "original_currency") == {
        "line": "'=1+1", "currency": "EUR", "reserved": "25.00", "available": "-25.00", "original": "20.00",
        "original_currency": "USD",
    }  # fmt: skip
    (asked,) = await table(budget, "requests")
    assert told(asked, "vendor", "amount", "currency", "state", "invoiced") == {
        "vendor": "'@Studio", "amount": "20.00", "currency": "USD", "state": "closed", "invoiced": "20.00"
    }  # fmt: skip
    (posted,) = await table(budget, "invoices")
    assert told(posted, "amount", "currency", "spent", "line_currency", "date") == {
        "amount": "20.00", "currency": "USD", "spent": "25.00", "line_currency": "EUR", "date": "2026-06-15"
    }  # fmt: skip
    assert len(await table(budget, "decisions")) == len(await table(budget, "request-items")) == 1


async def test_each_table_has_its_headings_even_when_it_is_empty_and_is_one_workspace_s(
    budget: httpx.AsyncClient, connect: Connect, other_workspace: Workspace
) -> None:
    line: dict[str, Any] = await open_line(budget)
    await allot(budget, line, "1")
    other = connect("budget", other_workspace)
    for kind in ExportKind:
        answer = await other.get(f"/v1/exports/{kind}")
        assert answer.text.strip() == ",".join(SHEETS[kind].columns)
    assert (await budget.get("/v1/exports/everything")).status_code == 422


async def test_what_money_is_decided_by_is_taken_away_too(budget: httpx.AsyncClient, person: Person) -> None:
    line = await open_line(budget, policy="warn")
    await rates(budget, "2026-06-15", "0.8")
    await budget.post("/v1/bands", json={"name": "head", "above": money("50"), "approvers": ["cat", "dan"]})
    calendar = (await budget.post("/v1/calendars", json={"name": "-1", "scheme": "halves", "start_month": 2})).json()
    await budget.post(f"/v1/calendars/{calendar['id']}/open-year", json={"year": 2026})
    await budget.post("/v1/scenarios", json={"name": "less", "line_id": line["id"]})
    (band,) = await table(budget, "bands")
    assert told(band, "above", "currency", "approvers") == {
        "above": "50.00",
        "currency": "EUR",
        "approvers": "cat, dan",
    }
    assert [told(each, "calendar", "start", "end", "state") for each in await table(budget, "periods")] == [
        {"calendar": "'-1", "start": "2026-02-01", "end": "2026-08-01", "state": "open"},
        {"calendar": "'-1", "start": "2026-08-01", "end": "2027-02-01", "state": "open"},
    ]
    (planned,) = await table(budget, "scenario-lines")
    assert told(planned, "scenario", "line", "amount") == {"scenario": "less", "line": line["name"], "amount": "0.00"}
    assert {each["currency"] for each in await table(budget, "rates")} == {"USD"}
