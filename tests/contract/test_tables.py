"""The second wall: whatever a service's code does, Postgres shows its role one workspace, in every table there is."""

from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from chassis.fields import new_id
from chassis.stack import parts
from chassis.testing import TestStack
from deploy.postgres import dsn
from tests.contract.filled import Filled
from tests.contract.tables import TENANT, Table, admin, login, opened, tables, trespass
from tests.parts import METADATA

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]

Two = tuple[Filled, Filled]

# Tables that belong to the installation: no workspace's rows, and no policy that would show a login role any row.
OF_NO_WORKSPACE = {
    "service_account": "the parts' own accounts",
    "signing_key": "the installation's own keys",
}
# Keys without a workspace: ids made here, and the names of jobs that are nobody's.
NOBODYS_KEYS = {"work_pkey", "work_periodic_key"}
# Policies beside the tenant's, for rows that are no workspace's: the whole installation's periodic jobs.
NOBODYS_ROWS = {"work": ("(workspace_id IS NULL)", None, "SELECT")}
# Tables whose key isn't a primary key.
NO_PRIMARY_KEY = {
    "metrics.tally": "a cell's campaign may be null: its unique index begins with the workspace",
    "metrics.impression": "a cell's campaign may be null: its unique index begins with the workspace",
}

ALL = sorted(f"{part}.{table.name}" for part, metadata in METADATA.items() for table in metadata.tables.values())
TENANTS = [name for name in ALL if name.partition(".")[2] not in OF_NO_WORKSPACE]

# The same, where only some texts will do.
OF_NAME = {
    "state": "'done'", "hold.state": "'reserved'", "matching": "'two_way'",
    "decision.verdict": "'approved'", "type": "'opened'", "verdict": "'human'", "counted.grain": "'day'",
    "reach.grain": "'day'", "unit": "'recipient'",
}  # fmt: skip
# Functions that act as the schema's owner: they see no row and give none.
AS_OWNER = {
    "metrics.keep_occurrences(date,date)": "makes the months that events are stored in; a service owns nothing",
    "metrics.erase_from_audit(text,text)": "takes an erased person out of the workspace's own record; adds nothing",
    "metrics.drop_occurrences(date)": "drops months that are over, none of the last year",
}
# What a column that needs a value gets in a row that no operation makes.
OF_TYPE = {
    "uuid": "gen_random_uuid()", "text": "'x'", "varchar": "'x'", "jsonb": "'{}'", "timestamptz": "now()",
    "date": "now()",
    "int4": "0", "int8": "0", "bool": "false", "bytea": "'x'", "float8": "0", "numeric": "0", "_text": "'{}'",
    "_uuid": "'{}'",
}  # fmt: skip


@pytest.fixture(scope="module")
async def known(stack: TestStack) -> dict[str, Table]:
    """Every table by its name: the catalogue is asked once, not for each test."""
    async with admin(stack) as connection:
        return {str(each): each for each in await tables(connection)}


async def a_row_of(connection: "Connection", table: Table, workspace: Filled) -> None:
    """Sees to it that the workspace has a row in a table that only passing things are in."""
    if await connection.fetchval(f"SELECT count(*) FROM {table} WHERE workspace_id = $1", workspace.id):
        return
    needed = await connection.fetch(
        "SELECT column_name::text AS name, udt_name::text AS type FROM information_schema.columns"
        " WHERE table_schema = $1"
        " AND table_name = $2 AND is_nullable = 'NO' AND column_default IS NULL AND is_identity = 'NO'",
        table.schema, table.name,
    )  # fmt: skip
    values = {
        name: OF_NAME.get(f"{table.name}.{name}") or OF_NAME.get(name, OF_TYPE[each["type"]])
        for each in needed
        for name in [each["name"]]
    } | {"workspace_id": f"'{workspace.id}'"}
    for each in await connection.fetch(
        "SELECT a.attname::text AS name, k.confrelid::regclass::text AS other FROM pg_constraint k JOIN pg_attribute a"
        " ON a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey) AND a.attname <> 'workspace_id'"
        " WHERE k.contype = 'f' AND k.conrelid = to_regclass($1)", str(table),
    ):  # fmt: skip
        values[each["name"]] = f"(SELECT id FROM {each['other']} WHERE workspace_id = '{workspace.id}' LIMIT 1)"
    await connection.execute(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({', '.join(values.values())})")


@pytest.mark.parametrize("name", TENANTS)
async def test_a_service_s_role_reaches_no_other_workspace_s_rows(
    stack: TestStack, two: Two, known: dict[str, Table], name: str
) -> None:
    victim, intruder = two
    async with admin(stack) as connection:
        table = known[name]
        await a_row_of(connection, table, victim)
        assert await trespass(stack, table, victim.id, intruder.id) == []


@pytest.mark.parametrize("name", TENANTS)
async def test_an_opened_policy_is_noticed(stack: TestStack, two: Two, known: dict[str, Table], name: str) -> None:
    victim, intruder = two
    async with admin(stack) as connection:
        table = known[name]
        await a_row_of(connection, table, victim)
        async with opened(connection, [name]):
            assert {"read", "plant"} <= set(await trespass(stack, table, victim.id, intruder.id))
        assert await trespass(stack, table, victim.id, intruder.id) == []


async def test_without_a_workspace_a_role_sees_nothing(stack: TestStack, two: Two) -> None:
    async with admin(stack) as connection:
        for table in await tables(connection):
            of = "workspace_id IS NOT NULL" if table.is_tenant else "true"
            bare = await asyncpg.connect(
                dsn.with_login(stack.admin_dsn, f"{stack.name}_{table.schema}", stack.passwords[table.schema])
            )
            try:
                assert await bare.fetchval(f"SELECT count(*) FROM {table} WHERE {of}") == 0, table
            finally:
                await bare.close()


async def test_every_table_is_known_and_forces_its_policies(stack: TestStack) -> None:
    async with admin(stack) as connection:
        found = {
            each["name"]: each["forced"]
            for each in await connection.fetch(
                "SELECT n.nspname || '.' || c.relname AS name, c.relrowsecurity AND c.relforcerowsecurity AS forced"
                " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = ANY ($1)"
                " AND c.relkind IN ('r', 'p') AND c.relname <> 'alembic_version' AND NOT c.relispartition",
                list(parts()),
            )
        }
    assert sorted(found) == ALL
    assert [name for name, forced in found.items() if not forced] == []


async def test_every_part_of_a_table_is_as_closed_as_the_table(stack: TestStack) -> None:
    async with admin(stack) as connection:
        parts_of = await connection.fetch(
            "SELECT c.oid::regclass::text AS name, c.relrowsecurity AND c.relforcerowsecurity AS forced,"
            " (SELECT array_agg(ARRAY[p.qual, p.with_check, p.cmd]) FROM pg_policies p"
            "  WHERE (p.schemaname, p.tablename) = (n.nspname, c.relname)) AS policies"
            " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname = ANY ($1) AND c.relispartition AND c.relkind = 'r'",
            list(parts()),
        )
    assert parts_of
    assert [
        each["name"] for each in parts_of if not each["forced"] or each["policies"] != [[TENANT, TENANT, "ALL"]]
    ] == []


async def test_every_policy_but_the_workers_shows_one_workspace(stack: TestStack) -> None:
    async with admin(stack) as connection:
        found = await connection.fetch(
            "SELECT * FROM pg_policies p WHERE schemaname = ANY ($1) AND NOT (SELECT c.relispartition FROM pg_class c"
            " WHERE c.oid = format('%I.%I', p.schemaname, p.tablename)::regclass)",
            list(parts()),
        )
    tenants = []
    for policy in found:
        name = f"{policy['schemaname']}.{policy['tablename']}"
        if policy["roles"] == [f"{stack.name}_{policy['schemaname']}_worker"]:
            continue
        said = (policy["qual"], policy["with_check"], policy["cmd"])
        if said == NOBODYS_ROWS.get(policy["tablename"]):
            continue
        assert said == (TENANT, TENANT, "ALL"), (name, policy)
        tenants.append(name)
    assert sorted(tenants) == TENANTS


async def test_every_key_holds_the_workspace(stack: TestStack) -> None:
    """A key without it would tell of other workspaces' values; a foreign key without it could cross to them."""
    async with admin(stack) as connection:
        keyless = {str(table) for table in await tables(connection) if table.is_tenant and not table.key}
        assert keyless <= set(NO_PRIMARY_KEY)
        unique = await connection.fetch(
            """
            SELECT i.indrelid::regclass::text AS name, i.indexrelid::regclass::text AS index,
                   (SELECT array_agg(a.attname::text) FROM pg_attribute a
                    WHERE a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)) AS columns
            FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE i.indisunique AND n.nspname = ANY ($1) AND c.relname <> 'alembic_version'
            """,
            list(parts()),
        )
        foreign = await connection.fetch(
            """
            SELECT k.conname::text AS name, k.conrelid::regclass::text AS source,
                   (SELECT array_agg((a.attname::text, b.attname::text)) FROM unnest(k.conkey, k.confkey) AS pair(a, b)
                    JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = pair.a
                    JOIN pg_attribute b ON b.attrelid = k.confrelid AND b.attnum = pair.b) AS pairs
            FROM pg_constraint k JOIN pg_namespace n ON n.oid = k.connamespace
            WHERE k.contype = 'f' AND n.nspname = ANY ($1)
            """,
            list(parts()),
        )
    kept = [each for each in unique if each["name"].rpartition(".")[2] not in OF_NO_WORKSPACE]
    without = {each["index"].rpartition(".")[2] for each in kept if "workspace_id" not in each["columns"]}
    assert without <= NOBODYS_KEYS
    assert foreign
    assert [each["name"] for each in foreign if ("workspace_id", "workspace_id") not in map(tuple, each["pairs"])] == []


async def test_nothing_in_a_schema_acts_as_its_owner(stack: TestStack) -> None:
    """A view without security_invoker, or a function that is SECURITY DEFINER, would see every workspace."""
    async with admin(stack) as connection:
        views = await connection.fetch(
            "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname = ANY ($1) AND (c.relkind = 'm' OR c.relkind = 'v'"
            " AND NOT coalesce('security_invoker=true' = ANY (c.reloptions), false))",
            list(parts()),
        )
        functions = await connection.fetch(
            "SELECT p.oid::regprocedure::text FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace"
            " WHERE n.nspname = ANY ($1) AND p.prosecdef",
            list(parts()),
        )
    assert [each[0] for each in views] == []
    assert {each[0] for each in functions} == AS_OWNER.keys()


@pytest.mark.parametrize("part", sorted(parts()))
async def test_a_service_s_role_owns_nothing_and_sees_one_schema(stack: TestStack, part: str) -> None:
    own, worker = f"{stack.name}_{part}", f"{stack.name}_{part}_worker"
    async with admin(stack) as connection:
        for role in (own, worker):
            found: Any = await connection.fetchrow("SELECT * FROM pg_roles WHERE rolname = $1", role)
            powers = ("rolsuper", "rolinherit", "rolcreaterole", "rolcreatedb", "rolreplication", "rolbypassrls")
            assert [power for power in powers if found[power]] == []
            # But for what it copies into, which ends with its connection.
            owned = (
                "SELECT objid::regclass::text FROM pg_shdepend s LEFT JOIN pg_class c ON c.oid = s.objid"
                " WHERE refobjid = $1 AND deptype = 'o' AND c.relpersistence IS DISTINCT FROM 't'"
            )
            assert await connection.fetch(owned, found["oid"]) == []
            seen = await connection.fetch(
                "SELECT nspname::text FROM pg_namespace WHERE has_schema_privilege($1, oid, 'USAGE')"
                " AND nspname <> ALL ('{public,pg_catalog,information_schema}') AND nspname !~ '^pg_'", role,
            )  # fmt: skip
            assert [each[0] for each in seen] == [part]
            elsewhere = await connection.fetch(
                "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
                " WHERE n.nspname = ANY ($2) AND c.relkind IN ('r', 'p', 'v') AND (n.nspname <> $3 AND"
                " has_any_column_privilege($1, c.oid, 'SELECT, INSERT, UPDATE')"
                " OR has_table_privilege($1, c.oid, 'TRUNCATE'))",
                role, list(parts()), part,
            )  # fmt: skip
            assert elsewhere == []
        member = await connection.fetch(
            "SELECT r.rolname::text FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid"
            " JOIN pg_roles u ON u.oid = m.member WHERE u.rolname = ANY ($1)", [own, worker],
        )  # fmt: skip
        assert [each[0] for each in member] == [worker]
    async with login(stack, part, new_id()) as connection:
        for other in set(parts()) - {part}:
            point = connection.transaction()
            await point.start()
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(f"SELECT FROM {other}.workspace")
            await point.rollback()
