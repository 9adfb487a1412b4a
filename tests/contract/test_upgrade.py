"""An upgrade is safe: migrations run forward over what the version before left, while that version goes on serving."""

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import asyncpg
import pytest
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from chassis import migrate
from chassis.fields import new_id
from chassis.stack import parts
from chassis.testing import TestStack
from deploy.postgres import databases, roles
from tests.contract.previous import Player, revisions
from tests.contract.tables import tables

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]

PART = sorted(parts())
FILLS = 20
# Tables of the version before that may go: what it does without them.
MAY_GO = {"job": "it answers as before, and leaves jobs to the version that knows the new queue"}


@pytest.fixture(scope="module")
async def old(stack: TestStack, postgres: str) -> AsyncIterator[str]:
    """A database as the version before left it, every schema at its newest migration of then."""
    name = f"{stack.name}_old"
    admin_dsn = await databases.create(postgres, name)
    try:
        await roles.ensure(admin_dsn, stack.name, stack.passwords)
        engine = engine_of(admin_dsn)
        for part in PART:
            await step(engine, stack, part, revisions(part))
        await engine.dispose()
        yield admin_dsn
    finally:
        await databases.drop(postgres, name)


def engine_of(admin_dsn: str) -> AsyncEngine:
    return create_async_engine(make_url(admin_dsn).set(drivername="postgresql+asyncpg"))


async def step(engine: AsyncEngine, stack: TestStack, part: str, to: list[str]) -> None:
    async with engine.connect() as connection:
        for revision in to:
            await connection.run_sync(migrate.migrate, part, stack.name, revision)


async def state(connection: "Connection", part: str) -> dict[str, tuple[int, int]]:
    """Table -> its rows, and the file that they lie in: another file, and all rows were written anew."""
    return {
        str(table): (
            await connection.fetchval(f"SELECT count(*) FROM {table}"),
            await connection.fetchval("SELECT relfilenode FROM pg_class WHERE oid = to_regclass($1)", str(table)),
        )
        for table in await tables(connection)
        if table.schema == part
    }


@pytest.mark.parametrize("part", PART)
async def test_migrations_go_forward_while_the_version_before_serves(stack: TestStack, old: str, part: str) -> None:
    player = Player(old, stack, part)
    for _ in range(FILLS):
        await player.play(new_id())
    connection, engine = await asyncpg.connect(old), engine_of(old)
    try:
        before = await state(connection, part)
        assert sum(rows for rows, _ in before.values()) > FILLS
        served, upgraded = 0, asyncio.Event()

        async def serve() -> int:
            """The old version's work, over and over, until it was done once on the new schema from start to end."""
            nonlocal served
            last = False
            while not last:
                last = upgraded.is_set()
                await player.play(new_id())
                served += 1
            return served

        serving = asyncio.create_task(serve())
        while not served:
            await asyncio.wait([serving], timeout=0.01)
            if serving.done():
                break
        await step(engine, stack, part, ["heads"])
        upgraded.set()
        assert await serving > 1
        after = await state(connection, part)
        kept = {table: found for table, found in before.items() if table.partition(".")[2] not in MAY_GO}
        lost = {table for table, (rows, _) in kept.items() if after.get(table, (0, 0))[0] < rows}
        assert lost == set(), "tables of the version before are gone, or rows of theirs"
        rewritten = {table for table, (_, file) in kept.items() if after[table][1] != file}
        assert rewritten == set(), (
            "written anew under an exclusive lock: let the column be nullable, or have a constant"
        )
        await step(engine, stack, part, ["base"])
    finally:
        await engine.dispose()
        await connection.close()
