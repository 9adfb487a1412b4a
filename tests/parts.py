"""Decides how a test speaks to the parts: as some role in a workspace of its own, with nothing else in it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import MetaData

import gateway.app
import gateway.seed
import services.assets.app
import services.budget.app
import services.goals.app
import services.metrics.app
from chassis.direct import Direct, Headers
from chassis.fields import new_id
from chassis.inbox import Incoming, learn_workspace
from chassis.roles import scopes_of
from chassis.stack import parts
from chassis.testing import Clock, TestStack
from deploy.credentials import PLATFORM
from gateway.identity.token.signing import Grant, access_token
from services.metrics.rollup.actions import count_events

APPS: dict[str, FastAPI] = {
    "gateway": gateway.app.app,
    "goals": services.goals.app.app,
    "assets": services.assets.app.app,
    "budget": services.budget.app.app,
    "metrics": services.metrics.app.app,
}

OPERATOR_SECRET = "operator-secret"

METADATA: dict[str, MetaData] = {
    "gateway": gateway.db.METADATA,
    "goals": services.goals.db.METADATA,
    "assets": services.assets.db.METADATA,
    "budget": services.budget.db.METADATA,
    "metrics": services.metrics.db.METADATA,
}


@pytest.fixture(scope="session")
async def apps(stack: TestStack) -> AsyncIterator[dict[str, FastAPI]]:
    """All five apps, started once; each test has a workspace to itself instead of a database."""
    services = {
        name: {"client_secret": stack.service_secrets[name], "scopes": list(row.asks)} for name, row in parts().items()
    }
    services["operator"] = {"client_secret": OPERATOR_SECRET, "scopes": PLATFORM}
    await gateway.seed.ensure(stack.admin_dsn, stack.name, {}, services)
    async with stack.started(APPS):
        yield APPS


@dataclass(frozen=True)
class Workspace:
    """A workspace that every part knows, and tokens for it."""

    id: UUID
    stack: TestStack

    def token(
        self, *roles: str, scopes: list[str] | None = None, lifetime: timedelta = timedelta(days=1),
        subject: str = "client:test",
    ) -> str:  # fmt: skip
        allowed = sorted(scopes_of(roles)) if scopes is None else scopes
        grant = Grant(subject, "test", self.id, roles, allowed, lifetime)
        return access_token(grant, self.stack.key, "http://gateway", self.stack.clock.now)

    def headers(self, *roles: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token(*(roles or ('admin',)))}"}


async def open_workspace(
    stack: TestStack, apps: dict[str, FastAPI], zone: str = "Europe/Berlin", currency: str = "EUR"
) -> Workspace:
    workspace = Workspace(new_id(), stack)
    for app in apps.values():
        event = Incoming(
            id=new_id(), source="/gateway", type="gateway.workspace.created", subject=str(workspace.id),
            time=datetime.now(UTC), workspaceid=workspace.id, data={"name": "Test", "zone": zone, "currency": currency},
        )  # fmt: skip
        async with app.state.database.tenant(workspace.id) as session:
            await learn_workspace(session, event)
    return workspace


@pytest.fixture
async def workspace(stack: TestStack, apps: dict[str, FastAPI], clock: Clock) -> Workspace:
    """A workspace in Europe/Berlin that counts in EUR, with nothing in it."""
    return await open_workspace(stack, apps)


@pytest.fixture
async def other_workspace(stack: TestStack, apps: dict[str, FastAPI], clock: Clock) -> Workspace:
    """A second workspace, which must never meet the first."""
    return await open_workspace(stack, apps)


class AsServed(httpx.ASGITransport):
    """Asks an app as its server does: past ASGI where the part answers so, through it otherwise."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        app: Any = self.app
        direct: Direct | None = getattr(app.state, "direct", None)
        # What has no length comes in pieces.
        whole = request.method == "POST" and "content-length" in request.headers
        if direct is not None and whole and request.url.path.startswith(direct.prefix):
            scope = {
                "path": request.url.path, "query_string": request.url.query,
                "headers": [(name.lower(), value) for name, value in request.headers.raw],
            }  # fmt: skip
            said = asyncio.Queue[tuple[int, Headers, bytes]]()
            if direct.take(scope, await request.aread(), lambda *given: said.put_nowait(given)):
                status, headers, body = await said.get()
                return httpx.Response(status, headers=list(headers), content=body, request=request)
        return await super().handle_async_request(request)


Connect = Callable[..., httpx.AsyncClient]


@pytest.fixture
async def connect(apps: dict[str, FastAPI]) -> AsyncIterator[Connect]:
    """`connect("goals", workspace, "specialist")`: a client of a part, as an admin unless a role is named."""
    async with AsyncExitStack() as opened:

        def make(part: str, workspace: Workspace | None = None, *roles: str) -> httpx.AsyncClient:
            client = httpx.AsyncClient(
                transport=AsServed(apps[part]), base_url=f"http://{part}",
                headers=workspace.headers(*roles) if workspace else {},
            )  # fmt: skip
            opened.push_async_callback(client.aclose)
            return client

        yield make


@pytest.fixture
def goals(connect: Connect, workspace: Workspace) -> httpx.AsyncClient:
    return connect("goals", workspace)


@pytest.fixture
def assets(connect: Connect, workspace: Workspace) -> httpx.AsyncClient:
    return connect("assets", workspace)


@pytest.fixture
def budget(connect: Connect, workspace: Workspace) -> httpx.AsyncClient:
    return connect("budget", workspace)


@pytest.fixture
def metrics(connect: Connect, workspace: Workspace) -> httpx.AsyncClient:
    return connect("metrics", workspace)


async def relay(apps: dict[str, FastAPI]) -> None:
    """Every part's outbox to its subscribers, until nothing that is due waits."""
    moved = True
    while moved:
        moved = False
        for app in apps.values():
            for subscriber in app.state.settings.subscribers:
                moved = await app.state.relay.deliver(subscriber) > 0 or moved


Deliver = Callable[[], Awaitable[None]]


@pytest.fixture
async def deliver(apps: dict[str, FastAPI], clock: Clock) -> Deliver:
    """`await deliver()`: what metrics holds is counted, and every part's outbox comes to its subscribers, until nothing
    that is due waits."""

    async def count_and_relay() -> None:
        await count_events(apps["metrics"])
        await relay(apps)

    return count_and_relay
