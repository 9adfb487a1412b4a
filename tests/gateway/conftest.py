"""Decides how a test asks the graph: over HTTP, with the services behind sockets, so that they can freeze and die."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from chassis.settings import Settings
from gateway.upstream import Upstream, connected
from tests.parts import Connect, Workspace

# The gateway too: what it owns itself is in the graph like the services' own.
SERVICES = ("gateway", "goals", "assets", "budget", "metrics")


@dataclass
class Counted:
    """An app that remembers what it was asked."""

    app: ASGIApp
    asked: list[str] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked.append(f"{scope['method']} {scope['path']}")
        await self.app(scope, receive, send)


class Quiet(uvicorn.Server):
    """A server that leaves the process's signals alone."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def bound() -> socket.socket:
    """A socket that already takes connections, so that nobody has to wait for it."""
    # Named, as asyncio sends small answers at once on no other; without it each waits 40 ms for an acknowledgement.
    listening = socket.socket(proto=socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    listening.listen(128)
    return listening


def url_of(listening: socket.socket) -> str:
    return f"http://127.0.0.1:{listening.getsockname()[1]}"


@asynccontextmanager
async def served(app: ASGIApp) -> AsyncIterator[str]:
    """The app behind a socket of this machine."""
    with bound() as listening:
        config = uvicorn.Config(app, lifespan="off", log_config=None, timeout_graceful_shutdown=1)
        server = Quiet(config)
        running = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            yield url_of(listening)
        finally:
            server.should_exit = True
            await running


@pytest.fixture(scope="session")
async def counted(apps: dict[str, FastAPI]) -> AsyncIterator[dict[str, tuple[Counted, str]]]:
    """Every service behind a socket, and what it is asked."""
    async with AsyncExitStack() as stack:
        found = {}
        for name in SERVICES:
            app = Counted(apps[name])
            found[name] = (app, await stack.enter_async_context(served(app)))
        yield found


@dataclass
class Graph:
    """The graph as its callers see it. `urls` says where the services are; a test may move one."""

    http: httpx.AsyncClient
    urls: dict[str, str]
    counted: dict[str, tuple[Counted, str]]
    upstream: Upstream

    async def __call__(self, query: str, **variables: Any) -> dict[str, Any]:
        """An answer without errors."""
        answer = await self.ask(query, **variables)
        assert "errors" not in answer, answer["errors"]
        data: dict[str, Any] = answer["data"]
        return data

    async def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        response = await self.http.post("/graphql", json={"query": query, "variables": variables})
        answer: dict[str, Any] = response.json()
        return answer

    async def asked_by(self, query: str, **variables: Any) -> list[str]:
        """What the services were asked for this query, which must succeed."""
        for app, _ in self.counted.values():
            app.asked.clear()
        await self(query, **variables)
        return sorted(asked for app, _ in self.counted.values() for asked in app.asked)

    @contextmanager
    def frozen(self, service: str) -> Iterator[None]:
        """The service takes connections and never answers."""
        with bound() as listening, self.impatient():
            yield from self._moved(service, url_of(listening))

    @contextmanager
    def impatient(self) -> Iterator[None]:
        """The graph waits as long as it does in production."""
        self.upstream.read_seconds, back = Settings().read_seconds, self.upstream.read_seconds
        try:
            yield
        finally:
            self.upstream.read_seconds = back

    @contextmanager
    def dead(self, service: str) -> Iterator[None]:
        """Nobody listens where the service was."""
        with bound() as listening:
            url = url_of(listening)
        yield from self._moved(service, url)

    def _moved(self, service: str, url: str) -> Iterator[None]:
        self.urls[service], back = url, self.urls[service]
        try:
            yield
        finally:
            self.urls[service] = back


Ask = Callable[..., Awaitable[Graph]]


@pytest.fixture
async def graph_of(
    apps: dict[str, FastAPI], connect: Connect, counted: dict[str, tuple[Counted, str]]
) -> AsyncIterator[Ask]:
    """`await graph_of(workspace, "specialist")`: the graph as that role."""
    state = apps["gateway"].state
    settings = state.settings.model_copy(update={"urls": {name: url for name, (_, url) in counted.items()}})
    before = state.upstream
    async with connected(settings, state.tracing, state.measures) as state.upstream:

        async def make(workspace: Workspace | None, *roles: str) -> Graph:
            return Graph(connect("gateway", workspace, *roles), settings.urls, counted, state.upstream)

        yield make
    state.upstream = before


@pytest.fixture
async def graph(graph_of: Ask, workspace: Workspace) -> Graph:
    """The graph as an admin of the workspace."""
    return await graph_of(workspace)
