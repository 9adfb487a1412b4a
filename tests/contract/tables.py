"""Decides what Postgres itself says of the parts' tables: which there are, what a workspace has in them, what a
service's login role can do to them."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

import asyncpg

from chassis.fields import new_id
from chassis.stack import schemas
from chassis.testing import TestStack
from deploy.postgres import dsn
from tests.contract.operations import ids_in

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]

# What a tenant's policy says, as Postgres spells it.
TENANT = "(workspace_id = (NULLIF(current_setting('mops.workspace'::text, true), ''::text))::uuid)"


@dataclass(frozen=True)
class Table:
    """One table of one part, with the columns of its key."""

    schema: str
    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    parted: bool = False

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def is_tenant(self) -> bool:
        return "workspace_id" in self.columns


@asynccontextmanager
async def admin(stack: TestStack) -> AsyncIterator["Connection"]:
    connection = await asyncpg.connect(stack.admin_dsn)
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def login(stack: TestStack, schema: str, workspace_id: UUID) -> AsyncIterator["Connection"]:
    """A transaction of a service's own role for one workspace, as `chassis.db` opens it; nothing of it is kept."""
    connection = await asyncpg.connect(
        dsn.with_login(stack.admin_dsn, f"{stack.name}_{schema}", stack.passwords[schema])
    )
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute("SELECT set_config('mops.workspace', $1, true)", str(workspace_id))
        yield connection
    finally:
        await transaction.rollback()
        await connection.close()


async def tables(connection: "Connection") -> list[Table]:
    found = await connection.fetch(
        """
        SELECT n.nspname::text AS schema, c.relname::text AS name,
               (SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_attribute a
                WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns,
               coalesce((SELECT array_agg(a.attname::text) FROM pg_index i JOIN pg_attribute a
                ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey)
                WHERE i.indrelid = c.oid AND i.indisprimary), '{}') AS key, c.relkind = 'p' AS parted
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = ANY ($1) AND c.relkind IN ('r', 'p') AND c.relname <> 'alembic_version'
            AND NOT c.relispartition
        ORDER BY 1, 2
        """,
        schemas(),
    )
    return [
        Table(each["schema"], each["name"], tuple(each["columns"]), tuple(each["key"]), each["parted"])
        for each in found
    ]


async def digest(connection: "Connection", workspace_id: UUID) -> dict[str, str]:
    """Table -> a hash over all that a workspace has in it; tables without any of its rows are absent."""
    found = {}
    for table in await tables(connection):
        if table.is_tenant:
            rows = await connection.fetchval(
                f"SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {table} t WHERE workspace_id = $1",
                workspace_id,
            )
            if rows is not None:
                found[str(table)] = rows
    return found


async def held(connection: "Connection", workspace_id: UUID) -> set[str]:
    """Every id that a workspace's rows hold, in a column of its own or within a document."""
    found: set[str] = set()
    for table in await tables(connection):
        if table.is_tenant:
            rows = await connection.fetch(
                f"SELECT (to_jsonb(t) - 'workspace_id')::text FROM {table} t WHERE workspace_id = $1", workspace_id
            )
            found |= {each for (text,) in rows for each in ids_in(text)}
    return found


async def some_of_each(connection: "Connection", workspace_id: UUID, most: int) -> set[str]:
    """So many of the ids in each column that has ids; one that several columns hold counts for all of them."""
    columns: list[set[str]] = []
    for table in await tables(connection):
        if table.is_tenant:
            names = await connection.fetch(
                "SELECT attname::text FROM pg_attribute WHERE attrelid = to_regclass($1) AND atttypid = 'uuid'::regtype"
                " AND attnum > 0 AND NOT attisdropped AND attname <> 'workspace_id'", str(table),
            )  # fmt: skip
            for (name,) in names:
                rows = await connection.fetch(
                    f'SELECT DISTINCT "{name}"::text FROM {table} WHERE workspace_id = $1 AND "{name}" IS NOT NULL',
                    workspace_id,
                )
                # In the numbers of no campaign it stands for none: nobody's, and refused by name.
                columns.append({each[0] for each in rows} - {str(UUID(int=0))})
    found: set[str] = set()
    # Those with the least choice choose first: what they hold stands in the others too.
    for ids in sorted(columns, key=len):
        missing = most - len(ids & found)
        found |= set(sorted(ids - found)[: max(missing, 0)])
    return found


async def trespass(stack: TestStack, table: Table, victim: UUID, intruder: UUID) -> Sequence[str]:
    """What a service's role, working for one workspace, can do to another's rows: nothing, if all is well."""
    done = []
    async with login(stack, table.schema, intruder) as connection:
        for what, statement in {
            "read": f"SELECT FROM {table} WHERE workspace_id = '{victim}'",
            "change": f"UPDATE {table} SET workspace_id = workspace_id WHERE workspace_id = '{victim}'",
            "delete": f"DELETE FROM {table} WHERE workspace_id = '{victim}'",
        }.items():
            point = connection.transaction()
            await point.start()
            try:
                touched = (await connection.execute(statement)).rpartition(" ")[2] != "0"
            except asyncpg.InsufficientPrivilegeError:
                touched = False
            except asyncpg.IntegrityConstraintViolationError:
                touched = True  # it got as far as a row
            finally:
                await point.rollback()
            if touched:
                done.append(what)
        if await _plants(connection, table, victim):
            done.append("plant")
    return done


async def _plants(connection: "Connection", table: Table, victim: UUID) -> bool:
    """Whether a row can be written that would be the other workspace's. The policy speaks before any constraint."""
    point = connection.transaction()
    await point.start()
    try:
        # Which part a row belongs to is found before its policy is asked.
        named, given = (
            ("workspace_id, id", f"'{victim}', '{new_id()}'") if table.parted else ("workspace_id", f"'{victim}'")
        )
        await connection.execute(f"INSERT INTO {table} ({named}) VALUES ({given})")
    except asyncpg.InsufficientPrivilegeError:
        return False
    except asyncpg.IntegrityConstraintViolationError:
        return True
    finally:
        await point.rollback()
    return True


@asynccontextmanager
async def opened(connection: "Connection", names: Sequence[str]) -> AsyncIterator[None]:
    """While it lasts, the tables' policies show everybody everything."""
    try:
        for name in names:
            await connection.execute(f"ALTER POLICY tenant ON {name} USING (true) WITH CHECK (true)")
        yield
    finally:
        for name in names:
            await connection.execute(f"ALTER POLICY tenant ON {name} USING {TENANT} WITH CHECK {TENANT}")
