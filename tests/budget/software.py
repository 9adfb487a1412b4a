"""Decides how tests of software spend come by vendors, contracts, lines and seats, and see what was told of them."""

import json
from typing import Any

import asyncpg
import httpx

from chassis.testing import TestStack
from tests.budget.test_plan import LINE

VENDOR = {"name": "Acme", "currency": "EUR", "payment_days": 14}
# The clock stands at the middle of June 2026: the window opens on 1 September, the deadline is 1 October.
CONTRACT = {
    "name": "Acme Mail", "category": "email-delivery", "department": "operations",
    "cost": {"amount": "1200", "currency": "EUR"}, "seat_count": 4,
    "term": {"start": "2026-01-01", "end": "2027-01-01"}, "auto_renews": True, "renewal_months": 12,
    "notice": {"count": 3, "unit": "months"}, "lead_days": 30,
}  # fmt: skip
CONTACT = {"name": "Vera Vendor", "address": "vera@vendor.example"}


async def made(budget: httpx.AsyncClient, path: str, row: dict[str, Any]) -> dict[str, Any]:
    answer = await budget.post(path, json=row)
    assert answer.is_success, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def signed(budget: httpx.AsyncClient, vendor: str = "Acme", **changes: Any) -> dict[str, Any]:
    """A contract with a vendor of that name."""
    known = (await budget.get("/v1/vendors", params={"name": vendor})).json()["items"]
    row = known[0] if known else await made(budget, "/v1/vendors", VENDOR | {"name": vendor})
    return await made(budget, "/v1/contracts", CONTRACT | {"vendor_id": row["id"]} | changes)


async def funded(budget: httpx.AsyncClient, amount: str, **changes: Any) -> dict[str, Any]:
    """A line with so much on it."""
    line = await made(budget, "/v1/lines", LINE | changes)
    await made(budget, f"/v1/lines/{line['id']}/allot", {"amount": {"amount": amount, "currency": "EUR"}})
    return line


async def seated(budget: httpx.AsyncClient, contract: dict[str, Any], name: str, department: str) -> dict[str, Any]:
    row = {"contract_id": contract["id"], "address": f"{name}@example.com", "department": department}
    return await made(budget, "/v1/seats", row)


async def used(budget: httpx.AsyncClient, contract: dict[str, Any], **days: str) -> dict[str, Any]:
    uses = [{"address": f"{name}@example.com", "day": day} for name, day in days.items()]
    return await made(budget, "/v1/seat-uses", {"contract_id": contract["id"], "uses": uses})


async def told_of(stack: TestStack, subject: str, kind: str = "contract") -> list[tuple[str, dict[str, Any]]]:
    """What budget told others of something, in order."""
    admin = await asyncpg.connect(stack.admin_dsn)
    rows = await admin.fetch("SELECT type, data FROM budget.outbox WHERE subject = $1 ORDER BY id", subject)
    await admin.close()
    return [(row["type"].removeprefix(f"budget.{kind}."), json.loads(row["data"])) for row in rows]
