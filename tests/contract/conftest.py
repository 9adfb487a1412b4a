"""Decides which two workspaces meet: each filled with a row of every resource, in all parts."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import httpx
import pytest
from fastapi import FastAPI

from chassis.testing import START, TestStack
from services.metrics.alert.actions import look_at_alerts
from tests.contract.filled import Filled, fill
from tests.gateway.conftest import counted, graph_of
from tests.parts import open_workspace, relay

__all__ = ["counted", "graph_of"]


async def settle(apps: dict[str, FastAPI]) -> None:
    """What alerts find and files hold, and then every part's outbox to its subscribers, until nothing due waits."""
    await look_at_alerts(apps["metrics"])
    await apps["budget"].state.runner.run_due()
    await relay(apps)


async def filled_workspace(stack: TestStack, apps: dict[str, FastAPI], opened: AsyncExitStack) -> Filled:
    workspace = await open_workspace(stack, apps)
    clients: dict[str, httpx.AsyncClient] = {}
    others: dict[str, httpx.AsyncClient] = {}
    another = {"Authorization": f"Bearer {workspace.token('admin', subject='client:other')}"}
    for part, app in apps.items():
        for found, headers in ((clients, workspace.headers()), (others, another)):
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            client = httpx.AsyncClient(transport=transport, base_url=f"http://{part}", headers=headers)
            found[part] = await opened.enter_async_context(client)
    filled = Filled(workspace.id, clients, others, stack.clock)
    await fill(filled, lambda: settle(apps))
    return filled


@pytest.fixture(scope="session")
async def victim(stack: TestStack, apps: dict[str, FastAPI]) -> AsyncIterator[Filled]:
    """A filled workspace, whose rows no file's stranger may see or change."""
    stack.clock.now = START
    async with AsyncExitStack() as opened:
        yield await filled_workspace(stack, apps, opened)


@pytest.fixture(scope="module")
async def two(stack: TestStack, apps: dict[str, FastAPI], victim: Filled) -> AsyncIterator[tuple[Filled, Filled]]:
    """The same, and one of a file's own, which comes to hold what its tests try; they know nothing of each other."""
    stack.clock.now = START
    async with AsyncExitStack() as opened:
        yield victim, await filled_workspace(stack, apps, opened)
