"""What each role may do; a server of its own, so that it can run beside anything."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest

from chassis import stack
from deploy.postgres import cluster, databases, dsn, roles

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]

PASSWORDS = {schema: f'it\'s "{schema}" %41@/' for schema in stack.schemas()}
STACK = "mops_test"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(prefix="mops-test-") as folder:
        patch.delenv("DATABASE_URL", raising=False)
        with cluster.running(Path(folder) / "pg", durable=False) as running:
            yield running.admin_dsn


@pytest.fixture
async def admin(server: str) -> AsyncIterator[str]:
    """A database with the roles in it, and in goals a table as migrations make it."""
    url = await databases.create(server, "roles")
    await roles.ensure(url, STACK, PASSWORDS)
    async with connected(url) as connection:
        await connection.execute(
            f"SET ROLE {STACK}_owner;"
            "CREATE TABLE goals.goal (id bigint GENERATED ALWAYS AS IDENTITY, workspace_id int NOT NULL);"
            "ALTER TABLE goals.goal ENABLE ROW LEVEL SECURITY; ALTER TABLE goals.goal FORCE ROW LEVEL SECURITY;"
            "CREATE POLICY tenant ON goals.goal USING"
            " (workspace_id = nullif(current_setting('mops.workspace', true), '')::int);"
            f"CREATE POLICY worker ON goals.goal FOR SELECT TO {STACK}_goals_worker USING (true);"
            "INSERT INTO goals.goal (workspace_id) VALUES (1), (2)"
        )
    yield url
    await databases.drop(server, "roles")
    await roles.drop(server, STACK)


@asynccontextmanager
async def connected(url: str) -> "AsyncIterator[Connection]":
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


def as_part(admin: str, schema: str) -> str:
    return dsn.with_login(admin, roles.login_of(STACK, schema), PASSWORDS[schema])


async def test_a_login_sees_only_its_tenants_rows(admin: str) -> None:
    async with connected(as_part(admin, "goals")) as connection:
        assert await connection.fetchval("SELECT count(*) FROM goal") == 0
        async with connection.transaction():
            await connection.execute("SELECT set_config('mops.workspace', '1', true)")
            assert await connection.fetchval("SELECT count(*) FROM goal") == 1
            await connection.execute("INSERT INTO goal (workspace_id) VALUES (1)")
            await connection.execute("UPDATE goal SET workspace_id = 1")
            await connection.execute("DELETE FROM goal")
        assert await connection.fetchval("SELECT count(*) FROM goal") == 0


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM goals.goal",
        "CREATE TABLE goals.x ()",
        "CREATE TABLE public.x ()",
        f"SET ROLE {STACK}_owner",
        f"SET ROLE {STACK}_goals",
        f"SET ROLE {STACK}_goals_worker",
        "CREATE SCHEMA mine",
        "CREATE ROLE mine",
    ],
)
async def test_a_login_cannot_reach_beyond_its_schema(admin: str, statement: str) -> None:
    async with connected(as_part(admin, "budget")) as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)


@pytest.mark.parametrize(
    "statement",
    ["ALTER TABLE goal NO FORCE ROW LEVEL SECURITY", "DROP TABLE goal", "TRUNCATE goal", "CREATE TABLE x ()"],
)
async def test_a_login_cannot_change_its_own_tables(admin: str, statement: str) -> None:
    async with connected(as_part(admin, "goals")) as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)


async def test_logins_own_nothing_and_have_no_powers(admin: str) -> None:
    async with connected(admin) as connection:
        powers = await connection.fetch(
            "SELECT rolname FROM pg_roles WHERE rolname LIKE $1 AND"
            " (rolsuper OR rolbypassrls OR rolcreatedb OR rolcreaterole OR rolreplication OR rolinherit)"
            " AND rolname <> $2",
            f"{STACK}\\_%",
            roles.owner_of(STACK),
        )
        owned = await connection.fetchval(
            "SELECT count(*) FROM pg_class JOIN pg_roles r ON r.oid = relowner WHERE rolname LIKE $1 AND rolname <> $2",
            f"{STACK}\\_%",
            roles.owner_of(STACK),
        )
    assert powers == []
    assert owned == 0


async def test_the_worker_role_reads_across_tenants_only_what_was_granted(admin: str) -> None:
    async with connected(as_part(admin, "goals")) as connection:
        await connection.execute(f"SET ROLE {roles.worker_of(STACK, 'goals')}")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.fetchval("SELECT count(*) FROM goal")
    async with connected(admin) as owner:
        await owner.execute(f"GRANT SELECT ON goals.goal TO {roles.worker_of(STACK, 'goals')}")
    async with connected(as_part(admin, "goals")) as connection:
        async with connection.transaction():
            await connection.execute(f"SET LOCAL ROLE {roles.worker_of(STACK, 'goals')}")
            assert await connection.fetchval("SELECT count(*) FROM goal") == 2
        assert await connection.fetchval("SELECT count(*) FROM goal") == 0


async def test_a_second_run_changes_passwords_and_nothing_else(admin: str) -> None:
    changed = PASSWORDS | {"goals": "new"}
    await roles.ensure(admin, STACK, changed)
    async with connected(dsn.with_login(admin, roles.login_of(STACK, "goals"), "new")) as connection:
        assert await connection.fetchval("SHOW search_path") == "goals"
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(as_part(admin, "goals"))


async def test_another_stack_cannot_take_over_a_schema(admin: str) -> None:
    with pytest.raises(roles.RolesError, match=f"belongs to {STACK}_owner"):
        await roles.ensure(admin, "mops_other", PASSWORDS)


async def test_dropping_one_stack_leaves_the_other(admin: str, server: str) -> None:
    url = await databases.create(server, "second")
    await roles.ensure(url, "mops_second", PASSWORDS)
    await roles.drop(admin, "mops_nobody")
    await roles.drop(url, "mops_second")
    await databases.drop(server, "second")
    async with connected(as_part(admin, "goals")) as connection:
        assert await connection.fetchval("SELECT 1") == 1


async def test_a_copy_of_a_database_carries_grants_along(admin: str, server: str) -> None:
    copy = await databases.create(server, "copy", template="roles")
    async with connected(as_part(copy, "goals")) as connection:
        assert await connection.fetchval("SELECT count(*) FROM goal") == 0
    await databases.drop(server, "copy")


async def test_an_admin_that_is_too_weak_is_named(admin: str) -> None:
    async with connected(admin) as connection:
        await connection.execute("CREATE ROLE weak LOGIN CREATEROLE PASSWORD 'pw'")
    try:
        with pytest.raises(roles.RolesError, match='role "weak" of DATABASE_URL'):
            await roles.ensure(dsn.with_login(admin, "weak", "pw"), STACK, PASSWORDS)
    finally:
        async with connected(admin) as connection:
            await connection.execute("DROP ROLE weak")


def test_another_login_keeps_host_and_query() -> None:
    url = "postgresql://a:b@db.example:6432/x?sslmode=require"
    assert dsn.with_login(url, "r", "p@/") == "postgresql://r:p%40%2F@db.example:6432/x?sslmode=require"
    assert dsn.with_database(url, "y") == "postgresql://a:b@db.example:6432/y?sslmode=require"
    assert dsn.with_login("postgresql:///x?host=/tmp", "r", "p") == "postgresql://r:p@/x?host=/tmp"


def test_another_login_takes_nothing_of_whom_the_url_named() -> None:
    url = "postgresql://db.example/x?user=root&sslmode=require&password=p%26w&passfile=/somewhere/.pgpass"
    assert dsn.with_login(url, "r", "p") == "postgresql://r:p@db.example/x?sslmode=require"
