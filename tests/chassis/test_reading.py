"""What a transaction that only reads promises: one workspace's rows, nothing written, nothing left in the pool."""

import asyncio
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text

from chassis.connections import Connection
from chassis.db import Database, zone_of
from chassis.fields import new_id
from chassis.inbox import Incoming, learn_workspace
from chassis.testing import Clock, TestStack
from tests.parts import Workspace

CAMPAIGN = {"name": "A", "slug": "a", "channels": ["email"], "flight": {"start": "2026-03-01", "end": "2026-04-01"}}
COUNT = text("SELECT count(*) AS count FROM campaign")


@pytest.fixture
def database(apps: dict[str, FastAPI]) -> Database:
    found: Database = apps["goals"].state.database
    return found


async def count(database: Database, workspace_id: UUID) -> int:
    async with database.reading(workspace_id) as reader:
        (row,) = await reader.execute(COUNT)
        return int(row.count)


async def test_a_reader_sees_its_own_workspace_alone(
    database: Database, goals: httpx.AsyncClient, workspace: Workspace, other_workspace: Workspace
) -> None:
    await goals.post("/v1/campaigns", json=CAMPAIGN)
    assert await count(database, workspace.id) == 1
    assert await count(database, other_workspace.id) == 0


async def test_a_pooled_connection_forgets_whom_it_was_read_for(
    database: Database, goals: httpx.AsyncClient, workspace: Workspace
) -> None:
    await goals.post("/v1/campaigns", json=CAMPAIGN)
    for _ in range(10):
        assert await count(database, workspace.id) == 1
        async with database.engine.connect() as connection:
            # Without a tenant the setting reads '' on a used connection: no rows, and no error either.
            assert await connection.scalar(COUNT) == 0


async def test_a_reader_writes_nothing(database: Database, workspace: Workspace) -> None:
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        async with database.reading(workspace.id) as reader:
            await reader.execute(text("DELETE FROM campaign"))
    assert await count(database, workspace.id) == 0


async def test_a_read_that_is_broken_off_leaves_the_pool_whole(database: Database, workspace: Workspace) -> None:
    begun = asyncio.Event()

    async def slowly() -> None:
        async with database.reading(workspace.id) as reader:
            begun.set()
            await reader.execute(text("SELECT pg_sleep(60)"))

    for _ in range(10):
        reading = asyncio.create_task(slowly())
        await begun.wait()
        begun.clear()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
    assert await count(database, workspace.id) == 0
    assert database.engine.pool.checkedout() == 0  # type: ignore[attr-defined]


async def test_a_connection_that_died_while_idle_costs_no_request(goals: httpx.AsyncClient, stack: TestStack) -> None:
    assert (await goals.get("/v1/campaigns")).status_code == 200
    admin = await asyncpg.connect(stack.admin_dsn)
    ended = "SELECT count(*) FILTER (WHERE pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE usename = $1"
    assert await admin.fetchval(ended, f"{stack.name}_goals") > 0
    await admin.close()
    answers = [(await goals.get("/v1/campaigns")).status_code for _ in range(5)]
    assert answers == [200] * 5


async def test_a_workspace_that_moves_is_known_anew_at_once(
    database: Database, workspace: Workspace, clock: Clock
) -> None:
    async with database.reading(workspace.id) as reader:
        assert await zone_of(reader) == "Europe/Berlin"
    data = {"name": "Test", "zone": "Asia/Tokyo", "currency": "JPY"}
    moved = Incoming(
        id=new_id(), source="/gateway", type="gateway.workspace.changed", subject=str(workspace.id), time=clock.now,
        workspaceid=workspace.id, data=data,
    )  # fmt: skip
    async with database.tenant(workspace.id) as session:
        await learn_workspace(session, moved)
    async with database.reading(workspace.id) as reader:
        assert await zone_of(reader) == "Asia/Tokyo"


async def test_a_failure_that_is_broken_off_as_it_is_undone_leaves_nothing_open(
    database: Database, workspace: Workspace, other_workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    undoing = asyncio.Event()
    execute = Connection.execute

    async def slowly(self: Connection, query: str, *args: Any, **options: Any) -> str:
        if query == "ROLLBACK":
            undoing.set()
            await asyncio.Event().wait()
        return await execute(self, query, *args, **options)

    async def fail() -> None:
        async with database.driving(workspace.id) as connection:
            await connection.execute("SELECT 1/0")

    monkeypatch.setattr(Connection, "execute", slowly)
    failing = asyncio.create_task(fail())
    await undoing.wait()
    failing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await failing
    assert await count(database, other_workspace.id) == 0
    assert database.engine.pool.checkedout() == 0  # type: ignore[attr-defined]
