"""Decides how a row comes to be in the state that a verb starts from, where the verbs of its own kind alone don't lead
there: an invoice that somebody may let pass needs an order of another vendor."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from tests.contract.filled import Filled
from tests.contract.operations import operations
from tests.contract.values import STATEMENT

# A year that nothing else is booked in, so that its periods can be closed.
QUIET_YEAR = 2001
EUR = {"amount": "1.00", "currency": "EUR"}
LATER = "2026-06-01"


async def _ask(client: httpx.AsyncClient, method: str, path: str, body: Any = None, **sent: Any) -> Any:
    answer = await client.request(method, path, json=body, **sent)
    return answer.raise_for_status().json()


async def _do(workspace: Filled, path: str, body: Any = None) -> Any:
    return await _ask(workspace.clients["budget"], "POST", path, body)


async def _do_as_another(workspace: Filled, path: str, body: Any = None) -> Any:
    return await _ask(workspace.others["budget"], "POST", path, body)


async def _list(workspace: Filled, path: str, **query: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await _ask(workspace.clients["budget"], "GET", path, params=query))["items"]
    return found


async def _line(workspace: Filled) -> dict[str, Any]:
    """A line that only warns: it takes what it hasn't the money for."""
    period = {"start": "2026-01-01", "end": "2027-01-01"}
    line = {"name": workspace.text("line"), "department": "sales", "period": period, "currency": "EUR"}
    made: dict[str, Any] = await _do(workspace, "/v1/lines", line | {"policy": "warn"})
    return made


async def _invoice(workspace: Filled, **said: Any) -> str:
    bill = {"number": workspace.text("number"), "date": LATER, "amount": EUR, **said}
    return str((await _do(workspace, "/v1/invoices", bill))["id"])


async def approved_request(workspace: Filled) -> str:
    kept = {row["id"] for row in workspace.rows["band"]}
    for band in await _list(workspace, "/v1/bands", limit=200):
        if band["id"] not in kept:  # each would ask for one approval more
            await _do(workspace, f"/v1/bands/{band['id']}/remove")
    line = (await _line(workspace))["id"]
    wanted = {"title": workspace.text("title"), "line_id": line, "amount": EUR, "vendor": "Print shop"}
    request = (await _do(workspace, "/v1/requests", wanted))["id"]
    await _do(workspace, f"/v1/requests/{request}/submit")
    await _do_as_another(workspace, f"/v1/requests/{request}/approve")
    return str(request)


async def committed_request(workspace: Filled) -> str:
    request = await approved_request(workspace)
    await _do(workspace, f"/v1/requests/{request}/commit")
    return request


async def other_vendors_invoice(workspace: Filled) -> str:
    order = await committed_request(workspace)
    line = (await _ask(workspace.clients["budget"], "GET", f"/v1/requests/{order}"))["line_id"]
    return await _invoice(workspace, line_id=line, request_id=order, vendor="Another shop")


async def posted_invoice(workspace: Filled) -> str:
    invoice = await _invoice(workspace, line_id=(await _line(workspace))["id"], vendor="Print shop")
    await _do(workspace, f"/v1/invoices/{invoice}/post")
    return invoice


async def allotment(workspace: Filled) -> str:
    line = (await _line(workspace))["id"]
    await _do(workspace, f"/v1/lines/{line}/allot", {"amount": EUR})
    return str((await _list(workspace, "/v1/entries", line_id=line))[0]["id"])


async def open_period(workspace: Filled) -> str:
    for period in await _list(workspace, "/v1/periods", state="closed", sort="-start", limit=200):
        await _do(workspace, f"/v1/periods/{period['id']}/reopen")
    found = await _list(workspace, "/v1/periods", year=QUIET_YEAR, limit=1)
    if not found:
        calendar = await _do(workspace, "/v1/calendars", {"name": workspace.text("calendar"), "scheme": "months"})
        found = (await _do(workspace, f"/v1/calendars/{calendar['id']}/open-year", {"year": QUIET_YEAR}))["periods"]
    return str(found[0]["id"])


async def closed_period(workspace: Filled) -> str:
    period = await open_period(workspace)
    await _do(workspace, f"/v1/periods/{period}/close")
    return period


async def vendor_without_contracts(workspace: Filled) -> str:
    return str((await _do(workspace, "/v1/vendors", {"name": workspace.text("vendor"), "currency": "EUR"}))["id"])


async def line_of_a_draft(workspace: Filled) -> str:
    line = (await _line(workspace))["id"]
    scenario = await _do(workspace, "/v1/scenarios", {"name": workspace.text("scenario"), "line_id": line})
    return str((await _list(workspace, "/v1/scenario-lines", scenario_id=scenario["id"]))[0]["id"])


async def _statement(workspace: Filled, *, dry_run: bool) -> str:
    budget = workspace.clients["budget"]
    # Of its own, too: how the workspace's is read may be edited meanwhile.
    maker = next(each for each in operations("budget") if each.id == "create_statement_mapping")
    mapping = (await workspace.create(maker)).raise_for_status().json()["id"]
    # Of its own: a row that is there already isn't posted again.
    content = STATEMENT.replace(b"T-1", workspace.text("transaction").encode())
    form = {"mapping_id": mapping, "dry_run": str(dry_run).lower()}
    made = await _ask(budget, "POST", "/v1/statements", data=form, files={"file": content})
    statement = str(made["id"])
    async with asyncio.timeout(30):
        while True:
            if (await _ask(budget, "GET", f"/v1/statements/{statement}"))["state"] == "done":
                return statement
            await asyncio.sleep(0.05)


async def tried_statement(workspace: Filled) -> str:
    return await _statement(workspace, dry_run=True)


async def posted_statement(workspace: Filled) -> str:
    return await _statement(workspace, dry_run=False)


async def nothing_under_way(workspace: Filled) -> str:
    """No row: one is rebuilt at a time."""
    metrics = workspace.clients["metrics"]
    async with asyncio.timeout(30):
        while True:
            jobs = (await _ask(metrics, "GET", "/v1/jobs", params={"limit": 200}))["items"]
            if not [job for job in jobs if job["name"] == "rebuild_numbers" and job["state"] in ("waiting", "running")]:
                return ""
            await asyncio.sleep(0.05)


async def delivery_that_waits(workspace: Filled) -> str:
    """One that nobody answered and that is told again in a while, if there is one: what is being told just now can't be
    told anew."""
    newest = {"sort": "-created_at", "limit": 200}
    found = (await _ask(workspace.clients["gateway"], "GET", "/v1/deliveries", params=newest))["items"]
    soon = datetime.now(UTC) + timedelta(seconds=2)
    idle = [
        each["id"] for each in found
        if each["attempts"] and (each["due_at"] is None or datetime.fromisoformat(each["due_at"]) > soon)
    ]  # fmt: skip
    return str([*idle, *(each["id"] for each in found), ""][0])


# Operation -> how a row that it is granted on comes to be.
STARTS: Mapping[str, Callable[[Filled], Coroutine[Any, Any, str]]] = {
    "accept_invoice": other_vendors_invoice,
    "close_period": open_period,
    "close_spend_request": committed_request,
    "commit_spend_request": approved_request,
    "post_statement": tried_statement,
    "rebuild_numbers": nothing_under_way,
    "receive_goods": committed_request,
    "replay_delivery": delivery_that_waits,
    "remove_vendor": vendor_without_contracts,
    "reopen_period": closed_period,
    "reverse_entry": allotment,
    "reverse_invoice": posted_invoice,
    "undo_statement": posted_statement,
    "update_scenario_line": line_of_a_draft,
}
