"""What vendors promise, and what is to be complied with."""

import asyncio
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
from fastapi import FastAPI

from chassis.testing import Clock, TestStack
from services.budget.obligation.actions import tell_of_overdue
from tests.budget.software import CONTACT, CONTRACT, VENDOR, made, signed, told_of
from tests.budget.test_plan import wrong_fields
from tests.parts import Connect, Workspace

OBLIGATION = {"words": "Report users", "owner": "operations", "first_due": "2026-08-31", "every_months": 1}


async def edit(budget: httpx.AsyncClient, path: str, row: dict[str, Any], **changes: Any) -> dict[str, Any]:
    answer = await budget.patch(f"{path}/{row['id']}", json=changes, headers={"If-Match": str(row["version"])})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def people(stack: TestStack, workspace: str) -> int:
    admin = await asyncpg.connect(stack.admin_dsn)
    count = await admin.fetchval("SELECT count(*) FROM budget.person WHERE workspace_id = $1", workspace)
    await admin.close()
    return int(count)


async def test_a_vendor_is_edited_against_the_version_that_was_seen(budget: httpx.AsyncClient) -> None:
    vendor = await made(budget, "/v1/vendors", VENDOR | {"contact": CONTACT})
    edited = await edit(budget, "/v1/vendors", vendor, payment_days=60, status="former")
    assert (edited["payment_days"], edited["status"], edited["contact"]) == (60, "former", CONTACT)
    assert (await budget.get(f"/v1/vendors/{vendor['id']}")).json() == edited
    stale = {"If-Match": str(vendor["version"])}
    assert (await budget.patch(f"/v1/vendors/{vendor['id']}", json={}, headers=stale)).status_code == 412
    assert (await budget.patch(f"/v1/vendors/{vendor['id']}", json={})).status_code == 428
    again = await budget.post("/v1/vendors", json=VENDOR)
    assert (again.status_code, again.json()["errors"][0]["field"]) == (409, "name")


async def test_a_contact_whom_nothing_names_any_more_is_not_kept(
    budget: httpx.AsyncClient, stack: TestStack, workspace: Any
) -> None:
    vendor = await made(budget, "/v1/vendors", VENDOR | {"contact": CONTACT})
    vendor = await edit(budget, "/v1/vendors", vendor, contact=CONTACT | {"address": "other@vendor.example"})
    assert await people(stack, workspace.id) == 1
    assert (await edit(budget, "/v1/vendors", vendor, contact=None))["contact"] is None
    assert await people(stack, workspace.id) == 0


async def test_a_vendor_is_removed_only_while_nothing_hangs_on_it(budget: httpx.AsyncClient) -> None:
    contract = await signed(budget)
    refused = await budget.post(f"/v1/vendors/{contract['vendor_id']}/remove")
    assert (refused.status_code, refused.json()["code"]) == (409, "in_use")
    other = await made(budget, "/v1/vendors", VENDOR | {"name": "Other", "contact": CONTACT})
    removed = await budget.post(f"/v1/vendors/{other['id']}/remove")
    assert removed.json() == other
    assert (await budget.get(f"/v1/vendors/{other['id']}")).status_code == 404


async def test_nothing_new_is_signed_with_a_blocked_vendor(budget: httpx.AsyncClient) -> None:
    vendor = await made(budget, "/v1/vendors", VENDOR | {"status": "blocked"})
    refused = await budget.post("/v1/contracts", json=CONTRACT | {"vendor_id": vendor["id"]})
    assert (refused.status_code, refused.json()["code"]) == (409, "blocked")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"payment_days": -1}, "payment_days"),
        ({"currency": "XXZ"}, "currency"),
        ({"contact": {"name": "A", "address": "nobody"}}, "contact.address"),
        ({"status": "friendly"}, "status"),
    ],
)
async def test_a_vendor_that_makes_no_sense_is_refused_by_its_field(
    budget: httpx.AsyncClient, changes: dict[str, Any], field: str
) -> None:
    assert wrong_fields(await budget.post("/v1/vendors", json=VENDOR | changes)) == [field]


async def test_an_obligation_that_recurs_is_due_again_on_the_day_that_was_agreed(budget: httpx.AsyncClient) -> None:
    contract = await signed(budget)
    row = OBLIGATION | {"vendor_id": contract["vendor_id"], "contract_id": contract["id"]}
    obligation = await made(budget, "/v1/obligations", row)
    dues = [obligation["due"]]
    for number in range(2):
        proof = {"evidence": f"https://example.com/{number}", "words": "sent"}
        met = await made(budget, f"/v1/obligations/{obligation['id']}/fulfil", proof)
        dues.append(met["due"])
    assert dues == ["2026-08-31", "2026-09-30", "2026-10-31"]
    assert (met["is_met"], met["times_met"]) == (False, 2)
    listed = (await budget.get("/v1/fulfilments", params={"obligation_id": obligation["id"]})).json()["items"]
    assert [(each["due"], each["met_by"], each["evidence"]) for each in listed] == [
        ("2026-08-31", "client:test", "https://example.com/0"), ("2026-09-30", "client:test", "https://example.com/1"),
    ]  # fmt: skip


async def test_an_obligation_that_does_not_recur_is_met_once(budget: httpx.AsyncClient) -> None:
    vendor = await made(budget, "/v1/vendors", VENDOR)
    obligation = await made(budget, "/v1/obligations", OBLIGATION | {"vendor_id": vendor["id"], "every_months": None})
    edited = await edit(budget, "/v1/obligations", obligation, owner="legal")
    assert edited["owner"] == "legal"
    due = {"is_met": "false", "due_to": "2026-09-01"}
    assert [each["id"] for each in (await budget.get("/v1/obligations", params=due)).json()["items"]] == [
        obligation["id"]
    ]
    path = f"/v1/obligations/{obligation['id']}/fulfil"
    met = await made(budget, path, {"evidence": "ticket 7"})
    assert (met["is_met"], met["due"]) == (True, "2026-08-31")
    again = await budget.post(path, json={"evidence": "ticket 8"})
    assert (again.status_code, again.json()["code"]) == (409, "met")


async def test_others_are_told_once_of_each_time_that_an_obligation_is_overdue(
    connect: Connect, workspace: Workspace, apps: dict[str, FastAPI], clock: Clock, stack: TestStack
) -> None:
    budget = connect("budget", workspace)
    budget.headers["Authorization"] = f"Bearer {workspace.token('admin', lifetime=timedelta(days=2000))}"
    contract = await signed(budget)
    row = OBLIGATION | {"vendor_id": contract["vendor_id"], "contract_id": contract["id"]}
    obligation = await made(budget, "/v1/obligations", row)
    in_time = await made(budget, "/v1/obligations", OBLIGATION | {"vendor_id": contract["vendor_id"]})
    await made(budget, f"/v1/obligations/{in_time['id']}/fulfil", {"evidence": "ticket 1"})

    async def told(of: dict[str, Any], moment: str) -> list[Any]:
        clock.now = datetime.fromisoformat(moment)
        await asyncio.gather(*(tell_of_overdue(apps["budget"]) for _ in range(3)))
        return [(kind, data["due"]) for kind, data in await told_of(stack, of["id"], "obligation")]

    # The workspace's midnight.
    assert await told(obligation, "2026-08-30T21:59:59+00:00") == []
    assert await told(obligation, "2026-08-30T22:00:00+00:00") == [("overdue", "2026-08-31")]
    assert len(await told(obligation, "2026-09-20T00:00:00+00:00")) == 1
    # What nobody sees of it makes no version of it stale.
    assert (await budget.get(f"/v1/obligations/{obligation['id']}")).json() == obligation
    for number in range(2):  # and the next one in time
        await made(budget, f"/v1/obligations/{obligation['id']}/fulfil", {"evidence": f"ticket {number}"})
    assert len(await told(obligation, "2026-10-30T00:00:00+00:00")) == 1
    assert (await told(obligation, "2026-11-01T00:00:00+00:00"))[1:] == [("overdue", "2026-10-31")]
    assert await told(in_time, "2026-11-01T00:00:00+00:00") == [("overdue", "2026-09-30")]
    (_, first), _ = await told_of(stack, obligation["id"], "obligation")
    assert first == {
        "obligation_id": obligation["id"], "vendor_id": contract["vendor_id"], "contract_id": contract["id"],
        "owner": "operations", "due": "2026-08-31",
    }  # fmt: skip


async def test_an_obligation_names_a_vendor_and_a_contract_of_its_own(budget: httpx.AsyncClient) -> None:
    contract = await signed(budget)
    other = await made(budget, "/v1/vendors", VENDOR | {"name": "Other"})
    for row, field in (
        ({"vendor_id": str(uuid4())}, "vendor_id"),
        ({"vendor_id": other["id"], "contract_id": contract["id"]}, "contract_id"),
        ({"vendor_id": other["id"], "contract_id": str(uuid4())}, "contract_id"),
    ):
        assert wrong_fields(await budget.post("/v1/obligations", json=OBLIGATION | row)) == [field]
