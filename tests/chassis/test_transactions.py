"""What a transaction promises: committed before the answer, one workspace's rows, nothing left behind in the pool."""

import asyncio
import itertools
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, ProgrammingError

from chassis.connections import IDLE_SECONDS, Connections
from chassis.db import Database
from chassis.fields import new_id
from chassis.testing import TestStack
from tests.parts import Connect, Workspace

CAMPAIGN = {"name": "A", "slug": "a", "channels": ["email"], "flight": {"start": "2026-03-01", "end": "2026-04-01"}}


def database(apps: dict[str, FastAPI]) -> Database:
    found: Database = apps["goals"].state.database
    return found


async def test_a_write_is_committed_before_its_answer_begins(
    apps: dict[str, FastAPI], workspace: Workspace, stack: TestStack
) -> None:
    outside = await asyncpg.connect(stack.admin_dsn)
    seen: list[int] = []

    async def watched(scope: Any, receive: Any, send: Any) -> None:
        async def sending(message: Any) -> None:
            if message["type"] == "http.response.start":
                count = "SELECT count(*) FROM goals.campaign WHERE workspace_id = $1"
                seen.append(await outside.fetchval(count, workspace.id))
            await send(message)

        await apps["goals"](scope, receive, sending)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(watched), base_url="http://goals") as client:
        answer = await client.post("/v1/campaigns", json=CAMPAIGN, headers=workspace.headers())
    await outside.close()
    assert answer.status_code == 201
    assert seen == [1]


async def count_campaigns(database: Database, workspace_id: UUID) -> int:
    async with database.tenant(workspace_id) as session:
        return int(await session.scalar(text("SELECT count(*) FROM campaign")) or 0)


async def test_a_transaction_that_fails_as_it_begins_leaves_none_open(stack: TestStack, workspace: Workspace) -> None:
    settings = stack.settings("goals")
    one = Database(settings.database_url, "nobody", pool=1, part="goals", clock=lambda: stack.clock.now)
    for _ in range(2):
        with pytest.raises(DBAPIError, match="nobody"):
            async with one.worker() as session:
                await session.execute(text("SELECT 1"))
        assert await count_campaigns(one, workspace.id) == 0
    await one.close()


@pytest.mark.parametrize("more", ["sslmode=disable", "user=mops&password=wrong", "application_name=ours"])
async def test_a_url_means_what_the_driver_takes_it_for(stack: TestStack, more: str) -> None:
    settings = stack.settings("goals")
    url = SecretStr(f"{settings.database_url.get_secret_value()}&{more}")
    one = Database(url, settings.worker_role, pool=1, part="goals", clock=lambda: stack.clock.now)
    async with one.engine.connect() as connection:
        assert await connection.scalar(text("SELECT current_user::text")) == f"{stack.name}_goals"
    await one.close()


async def test_a_pooled_connection_forgets_its_tenant(
    apps: dict[str, FastAPI], goals: httpx.AsyncClient, workspace: Workspace
) -> None:
    await goals.post("/v1/campaigns", json=CAMPAIGN)
    pool = database(apps)
    for _ in range(10):
        assert await count_campaigns(pool, workspace.id) == 1
        async with pool.engine.connect() as connection:
            # Without a tenant the setting reads '' on a used connection: no rows, and no error either.
            assert await connection.scalar(text("SELECT count(*) FROM campaign")) == 0


async def test_a_row_of_another_workspace_can_neither_be_read_nor_written(
    apps: dict[str, FastAPI], goals: httpx.AsyncClient, workspace: Workspace, other_workspace: Workspace
) -> None:
    await goals.post("/v1/campaigns", json=CAMPAIGN)
    assert await count_campaigns(database(apps), other_workspace.id) == 0
    with pytest.raises(ProgrammingError, match="row-level security"):
        async with database(apps).tenant(other_workspace.id) as session:
            await session.execute(
                text("INSERT INTO objective (workspace_id, id, name, stakeholder, needs, created_at) "
                     "VALUES (:w, :id, 'x', 'ceo', '', now())"),
                {"w": workspace.id, "id": new_id()},
            )  # fmt: skip


@pytest.mark.parametrize("table", ["campaign", "objective", "evaluation", "inbox"])
async def test_the_worker_role_reads_only_what_it_was_granted(apps: dict[str, FastAPI], table: str) -> None:
    with pytest.raises(ProgrammingError, match="permission denied"):
        async with database(apps).worker() as session:
            await session.execute(text(f"SELECT * FROM {table}"))


async def test_a_workspace_nobody_announced_yet_is_asked_to_wait(
    connect: Connect, stack: TestStack, apps: dict[str, FastAPI]
) -> None:
    answer = await connect("goals", Workspace(new_id(), stack)).get("/v1/campaigns")
    assert (answer.status_code, answer.json()["code"]) == (503, "workspace_unknown")
    assert int(answer.headers["Retry-After"]) >= 1


async def test_connections_of_a_busy_hour_are_let_go_after_it(stack: TestStack) -> None:
    now, ticks = 0.0, itertools.count(step=1e-6)
    pool = Connections(stack.settings("goals").database_url, 4, lambda: now + next(ticks))

    async def used(together: int) -> list[int]:
        """The processes of the database's that serve so many at once."""
        taken = [await pool.take() for _ in range(together)]
        serving = [await each.driver_connection.fetchval("SELECT pg_backend_pid()") for each in taken]  # type: ignore[union-attr]
        for each in reversed(taken):
            each.close()
        await asyncio.sleep(0)
        return serving

    async def remain(processes: list[int]) -> set[int]:
        """Which of them are there once the database has heard of what was let go."""
        outside = await asyncpg.connect(stack.admin_dsn)
        look = "SELECT pid FROM pg_stat_activity WHERE pid = ANY($1) AND backend_type = 'client backend'"
        async with asyncio.timeout(10):
            while len(found := await outside.fetch(look, processes)) > 4 - gaps:
                pass
        await outside.close()
        return {each["pid"] for each in found}

    now, gaps = 1.0, 0
    first = await used(4)
    now = IDLE_SECONDS
    assert await used(2) == first[:2]
    assert await remain(first) == set(first)
    now = IDLE_SECONDS + 1
    assert await used(2) == first[:2]
    now, gaps = 2 * IDLE_SECONDS, 2
    assert await used(1) == first[:1]
    assert await remain(first) == set(first[:2])
    again = await used(4)
    assert again[:2] == first[:2]
    assert not set(again[2:]) & set(first)
    await pool.engine.dispose()
