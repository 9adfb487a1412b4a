"""Decides how a workspace comes to hold a row of every resource: by the operations that create them, then by their
verbs, then by what only arrives from outside."""

import json
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from secrets import token_hex
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import httpx
from standardwebhooks import Webhook

from tests.contract.operations import Ask, Operation, operations
from tests.contract.values import BY_ANOTHER, SIGNING_SECRET, target_of

Clients = Mapping[str, httpx.AsyncClient]

# In which the workspaces of tests count their days.
ZONE = ZoneInfo("Europe/Berlin")


@dataclass
class Filled:
    """A workspace with rows, and what is known of them. Every text in it holds `canary`."""

    id: UUID
    clients: Clients
    # Of somebody else: who made a thing doesn't approve it.
    others: Clients
    clock: Callable[[], datetime]
    canary: str = field(default_factory=lambda: f"canary{token_hex(6)}")
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    webhook_url: str = ""
    # Of a platform that looks whether anybody is there before it posts.
    greeted_url: str = ""
    _serial: int = 0

    @property
    def today(self) -> str:
        return self.clock().astimezone(ZONE).date().isoformat()

    def id_of(self, name: str, resource: str) -> str | None:
        rows = [row for row in self.rows.get(target_of(name, resource), ()) if "id" in row]
        # What goes from one to another goes to another.
        place = 1 if name.startswith("to_") and len(rows) > 1 else 0
        return str(rows[place]["id"]) if rows else None

    def key_of(self, name: str, resource: str) -> str | None:
        rows = self.rows.get(resource)
        return str(rows[0][name]) if rows and name in rows[0] else None

    def text(self, name: str) -> str:
        self._serial += 1
        return f"{self.canary} {name} {self._serial}"

    async def send(self, asked: Ask) -> httpx.Response:
        clients = self.others if asked.operation.id in BY_ANOTHER else self.clients
        return await asked.send(clients[asked.operation.part])

    async def create(self, operation: Operation) -> httpx.Response:
        """Makes one more; with all its fields if that is granted, with those it needs otherwise."""
        for whole in (True, False):
            asked = operation.ask(self, whole=whole)
            if "Idempotency-Key" in {each["name"] for each in operation.parameters}:
                asked.headers["Idempotency-Key"] = self.text(operation.id)
            answer = await self.send(asked)
            if answer.is_success:
                break
        return answer


class Unfillable(Exception):
    """A resource that can't be created as its contract says; what to do about it."""


async def fill(workspace: Filled, settle: Callable[[], Awaitable[None]]) -> None:
    """A row of every resource. `settle` delivers events, so that neighbours know of each other's rows."""
    every = operations()
    await _learn(workspace, every)
    # Three times: one can name another of its kind, and the first is there to be ended.
    makers = [each for each in every if each.creates] * 3
    refused: dict[Operation, str] = {}
    # Those whose body names only what is there already come first; a resource that names itself names its own first.
    while makers:
        made = None
        for operation in sorted(makers, key=lambda each: _lacks(each, workspace)):
            answer = await workspace.create(operation)
            if answer.is_success:
                workspace.rows[operation.resource].insert(0, answer.json())
                made = operation
                break
            refused[operation] = answer.text
        if made is None:
            lines = [f"{each}: {refused[each]}" for each in makers]
            raise Unfillable(
                "give the models' fields `examples`, or BODIES in tests/contract/values.py a line, for\n"
                + "\n".join(lines)
            )
        makers.remove(made)
    await settle()
    await receive(workspace)
    await settle()
    verbs = [
        each for each in every
        if each.method != "GET" and not each.creates and "{id}" in each.path and _harmless(each)
    ]  # fmt: skip
    # There and back: what only a draft takes comes first for one row, and what only an active one takes for the other.
    ends = [each for each in every if each.path.endswith(("{id}/cancel", "{id}/complete"))]
    for number, those in ((2, verbs[::-1] + ends + verbs), (1, verbs[::-1]), (0, verbs)):
        for operation in those:
            asked = operation.ask(workspace)
            rows = workspace.rows.get(operation.resource, [])
            if len(rows) > number and "id" in rows[number]:
                asked.path["id"] = str(rows[number]["id"])
            await workspace.send(asked)
    await _allot(workspace, next(each for each in every if each.id == "allot_line"))
    await settle()
    await _learn(workspace, every)


async def _allot(workspace: Filled, allot: Operation) -> None:
    """Money for every line, whatever has moved it meanwhile: a goal can't begin whose campaigns have none."""
    for row in workspace.rows["line"]:
        asked = allot.ask(workspace)
        asked.path["id"] = str(row["id"])
        (await workspace.send(asked)).raise_for_status()


ENDS = ("/revoke", "/remove", "/cancel", "/archive", "/complete")


def _harmless(operation: Operation) -> bool:
    """Whether a row is still there, and usable, afterwards."""
    return operation.method != "DELETE" and not operation.path.endswith(ENDS)


def _lacks(operation: Operation, workspace: Filled) -> int:
    if not operation.media:
        return 0
    names = [name for name in _references(operation) if target_of(name, operation.resource) != operation.resource]
    missing = sum(workspace.id_of(name, operation.resource) is None for name in names)
    return missing + operation.media.startswith("multipart/")


def names_in(operation: Operation) -> set[str]:
    """The resources that a body names."""
    return {target_of(name, operation.resource) for name in _references(operation)} if operation.media else set()


@cache
def _references(operation: Operation) -> list[str]:
    body = operation.resolved(operation.said["requestBody"]["content"][operation.media].get("schema", {}))
    return [name for name in body.get("properties", {}) if name.endswith(("_id", "_ids"))]


async def _learn(workspace: Filled, every: list[Operation]) -> None:
    """The rows that lists show."""
    for operation in every:
        if operation.method == "GET" and operation.takes_paging and operation.path.count("/") == 2:
            answer = await workspace.send(operation.ask(workspace))
            if answer.is_success and answer.json().get("items"):
                known = {row.get("id") for row in workspace.rows[operation.resource]} - {None}
                found = [row for row in answer.json()["items"] if row.get("id") not in known]
                workspace.rows[operation.resource] += found if known else answer.json()["items"]


async def receive(workspace: Filled) -> None:
    """What a platform posts: two events of a campaign that count, and one that can't be read."""
    workspace.webhook_url = await opened(workspace, platform="standard", credentials={"signing_secret": SIGNING_SECRET})
    workspace.greeted_url = await opened(workspace, platform="mailchimp")
    slug = workspace.rows["campaign"][0]["slug"]
    person = f"{workspace.canary}@example.com"
    at = "2026-03-01T12:00:00Z"
    common = {"recipient": person, "message_id": workspace.text("message"), "occurred_at": at, "tags": [slug]}
    events = [{"type": "opened", **common}, {"type": "clicked", "url": "https://example.com/", **common}]
    body = json.dumps({"events": [*events, {"type": workspace.text("type"), "occurred_at": "never"}]})
    path = "/v1/webhooks/" + workspace.webhook_url.rpartition("/")[2]
    headers = {"Content-Type": "application/json", **signed(body, workspace.clock())}
    (await workspace.clients["metrics"].post(path, content=body, headers=headers)).raise_for_status()


async def opened(workspace: Filled, **asked: Any) -> str:
    """The URL of a source that no verb is tried on, so that it stays open."""
    made = await workspace.clients["metrics"].post("/v1/sources", json={"name": workspace.text("source"), **asked})
    return str(made.raise_for_status().json()["webhook_url"])


def signed(body: str, now: datetime) -> dict[str, str]:
    """Headers of a post as Standard Webhooks has it."""
    name = f"msg_{token_hex(8)}"
    signature = Webhook(SIGNING_SECRET).sign(name, now, body)
    return {"webhook-id": name, "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": signature}
