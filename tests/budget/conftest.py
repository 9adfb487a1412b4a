"""Decides who acts in tests of money: several people, as nobody approves what they asked for themselves."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import timedelta

import httpx
import pytest
from fastapi import FastAPI

from chassis.roles import scopes_of
from chassis.testing import Clock
from gateway.identity.token.signing import Grant, access_token
from tests.parts import Workspace

Person = Callable[[str], httpx.AsyncClient]


@pytest.fixture
async def person(apps: dict[str, FastAPI], workspace: Workspace, clock: Clock) -> AsyncIterator[Person]:
    """`person("ada")`: budget as a manager of that name calls it."""
    async with AsyncExitStack() as opened:
        known: dict[str, httpx.AsyncClient] = {}

        def named(name: str) -> httpx.AsyncClient:
            if name not in known:
                grant = Grant(
                    name, name, workspace.id, ["manager"], sorted(scopes_of(["manager"])), timedelta(days=900)
                )
                token = access_token(grant, workspace.stack.key, "http://gateway", workspace.stack.clock.now)
                known[name] = httpx.AsyncClient(
                    transport=httpx.ASGITransport(apps["budget"]), base_url="http://budget",
                    headers={"Authorization": f"Bearer {token}"},
                )  # fmt: skip
                opened.push_async_callback(known[name].aclose)
            return known[name]

        yield named
