"""What the audit log promises: every change is in it, with its change or not at all; it is only ever added to."""

import csv
import io
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from chassis.testing import Clock
from tests.budget.test_plan import LINE, open_line
from tests.parts import Connect, Workspace


async def entries(part: httpx.AsyncClient, **asked: Any) -> list[dict[str, Any]]:
    answer = await part.get("/v1/audit", params=asked)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


async def test_a_change_says_who_did_what_from_what_to_what(
    connect: Connect, workspace: Workspace, clock: Clock, budget: httpx.AsyncClient
) -> None:
    line = await open_line(budget)
    clock.forward(minutes=5)
    headers = {"If-Match": '"1"', "X-Request-Id": "r-7"}
    await budget.patch(f"/v1/lines/{line['id']}", json={"name": "Mail", "policy": "warn"}, headers=headers)
    created, changed = await entries(budget, row_id=line["id"])
    assert (created["action"], created["operation"], created["kind"]) == ("created", "create_line", "line")
    assert {each["field"]: each["new"] for each in created["changes"]}.items() >= {
        "name": "E-mail", "currency": "EUR", "period_start": "2026-01-01", "policy": "stop",
    }.items()  # fmt: skip
    assert all(each["old"] is None for each in created["changes"])
    assert changed == {
        "id": changed["id"], "at": "2026-06-15T12:05:00Z", "actor": "client:test", "operation": "update_line",
        "request_id": "r-7", "action": "changed", "kind": "line", "row_id": line["id"],
        "changes": [
            {"field": "name", "old": "E-mail", "new": "Mail"}, {"field": "policy", "old": "stop", "new": "warn"},
        ],
    }  # fmt: skip


async def test_what_is_refused_leaves_no_entry(budget: httpx.AsyncClient) -> None:
    line = await open_line(budget)
    refused = {"parent_id": line["id"], "currency": "USD"}
    assert (await budget.post("/v1/lines", json=LINE | refused)).status_code == 422
    assert (await budget.patch(f"/v1/lines/{line['id']}", json={"name": "x"}, headers={"If-Match": "9"})).is_error
    assert len(await entries(budget, kind="line")) == 1


async def test_a_write_sent_again_is_one_entry(budget: httpx.AsyncClient) -> None:
    for _ in range(2):
        await budget.post("/v1/lines", json=LINE, headers={"Idempotency-Key": "once"})
    assert len(await entries(budget, kind="line")) == 1


async def test_a_secret_is_not_in_the_log(metrics: httpx.AsyncClient) -> None:
    secret = "whsec_" + "Q" * 32
    made = await metrics.post(
        "/v1/sources", json={"platform": "standard", "name": "N", "credentials": {"signing_secret": secret}}
    )
    assert made.status_code == 201, made.text
    (entry,) = await entries(metrics, kind="source")
    told = {each["field"]: each["new"] for each in entry["changes"]}
    assert told["credentials"] == told["token_hash"] == "(not shown)"
    assert secret not in str(entry)


async def test_the_log_is_only_ever_added_to(
    apps: dict[str, FastAPI], workspace: Workspace, budget: httpx.AsyncClient
) -> None:
    await open_line(budget)
    for statement in ("UPDATE audit SET actor = 'nobody'", "DELETE FROM audit", "TRUNCATE audit"):
        with pytest.raises(ProgrammingError, match="permission denied"):
            async with apps["budget"].state.database.tenant(workspace.id) as session:
                await session.execute(text(statement))


async def test_entries_are_filtered_sorted_and_paged(budget: httpx.AsyncClient, clock: Clock) -> None:
    lines = []
    for name in ("a", "b", "c"):
        lines.append((await open_line(budget, name=name))["id"])
        clock.forward(hours=1)
    found = await entries(budget, kind="line", sort="-id")
    assert [each["row_id"] for each in found] == lines[::-1]
    between = {"kind": "line", "at_from": "2026-06-15T13:00:00Z", "at_to": "2026-06-15T14:00:00Z"}
    assert [each["row_id"] for each in await entries(budget, **between)] == [lines[1]]
    assert await entries(budget, actor="somebody") == []
    assert await entries(budget, operation="update_line") == []
    assert await entries(budget, action="deleted") == []
    first = (await budget.get("/v1/audit", params={"kind": "line", "limit": 2})).json()
    asked = {"kind": "line", "limit": 2, "cursor": first["next_cursor"]}
    rest = (await budget.get("/v1/audit", params=asked)).json()
    assert [each["row_id"] for each in first["items"] + rest["items"]] == lines
    assert rest["next_cursor"] is None


async def test_only_administrators_of_the_workspace_read_its_log(
    connect: Connect, workspace: Workspace, other_workspace: Workspace, budget: httpx.AsyncClient
) -> None:
    line = await open_line(budget)
    for path in ("/v1/audit", "/v1/audit/export"):
        assert (await connect("budget", workspace, "manager").get(path)).status_code == 403
    theirs = connect("budget", other_workspace)
    assert await entries(theirs, row_id=line["id"]) == []
    assert line["id"] not in (await theirs.get("/v1/audit/export")).text


async def test_an_export_holds_every_change_and_no_formula(
    budget: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chassis.audit_log.EXPORT_BATCH", 2)
    lines = [(await open_line(budget, name=f"=1+{n}"))["id"] for n in range(5)]
    answer = await budget.get("/v1/audit/export", params={"kind": "line"})
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    names = [(row["row_id"], row["new"]) for row in rows if row["field"] == "name"]
    assert names == [(line, f"'=1+{n}") for n, line in enumerate(lines)]


async def test_each_part_has_its_log_in_the_graphs_contract(apps: dict[str, FastAPI]) -> None:
    for part, app in apps.items():
        operation = app.openapi()["paths"]["/v1/audit"]["get"]
        assert operation["operationId"] == f"list_{part}_audit"
