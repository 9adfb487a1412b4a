"""What migrations promise: they say what the models say, and they can be taken back."""

import re

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from chassis import migrate
from chassis.stack import parts
from chassis.testing import TestStack
from deploy.postgres import databases, roles
from tests.parts import METADATA


@pytest.mark.parametrize("part", sorted(parts()))
async def test_a_schema_is_what_its_models_say(stack: TestStack, part: str) -> None:
    def drift(connection: Connection) -> list[object]:
        def ours(name: str | None, kind: str, parents: object) -> bool:
            if kind == "schema":
                return name == part
            # Parts of a table are made as time goes by.
            return name != "alembic_version" and not (kind == "table" and re.fullmatch(r"\w+_\d{4}_\d\d", name or ""))

        options = {"include_schemas": True, "include_name": ours, "compare_type": True}
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), METADATA[part]))

    engine = create_async_engine(make_url(stack.admin_dsn).set(drivername="postgresql+asyncpg"))
    async with engine.connect() as connection:
        assert await connection.run_sync(drift) == []
    await engine.dispose()


async def test_migrations_go_down_to_nothing_and_up_again(stack: TestStack, postgres: str) -> None:
    name = "mops_updown"
    admin_dsn = await databases.create(postgres, name)
    try:
        await roles.ensure(admin_dsn, stack.name, stack.passwords)
        engine = create_async_engine(make_url(admin_dsn).set(drivername="postgresql+asyncpg"))
        async with engine.connect() as connection:
            for part in parts():
                await connection.run_sync(migrate.migrate, part, stack.name)
                await connection.run_sync(migrate.migrate, part, stack.name, "base")
                left = text("SELECT count(*) FROM pg_tables WHERE schemaname = :s AND tablename <> 'alembic_version'")
                assert await connection.scalar(left, {"s": part}) == 0
                await connection.rollback()
                await connection.run_sync(migrate.migrate, part, stack.name)
        await engine.dispose()
    finally:
        await databases.drop(postgres, name)
