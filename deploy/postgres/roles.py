"""Decides who may do what in the database: a login and a worker role per schema, none of which sees another's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg

from chassis import stack as table

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]


class RolesError(Exception):
    """Why the roles can't be made here, and what would help."""


def owner_of(stack: str) -> str:
    """Owns every schema and bypasses row security: for migrations, by SET ROLE; nobody logs in with it."""
    return f"{stack}_owner"


def login_of(stack: str, schema: str) -> str:
    return f"{stack}_{schema}"


def worker_of(stack: str, schema: str) -> str:
    """What a login takes on, by SET LOCAL ROLE, to read a few tables across workspaces; migrations say which."""
    return f"{stack}_{schema}_worker"


async def ensure(admin_dsn: str, stack: str, passwords: dict[str, str]) -> None:
    """Make roles, schemas and default grants, or bring them to this state; nobody else's are touched."""
    connection = await asyncpg.connect(admin_dsn)
    try:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock(hashtext('mops roles'))")
            await _refuse_too_weak_an_admin(connection)
            owner = _name(owner_of(stack))
            if not await _exists(connection, owner_of(stack)):
                await connection.execute(f"CREATE ROLE {owner} NOLOGIN BYPASSRLS")
            await connection.execute(f"GRANT {owner} TO CURRENT_USER")
            await connection.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
            for schema in table.schemas():
                await _ensure_schema(connection, stack, schema, passwords[schema])
    finally:
        await connection.close()


async def _ensure_schema(connection: Connection, stack: str, schema: str, password: str) -> None:
    owner, login, worker = _name(owner_of(stack)), _name(login_of(stack, schema)), _name(worker_of(stack, schema))
    holder = await connection.fetchval(
        "SELECT pg_get_userbyid(nspowner)::text FROM pg_namespace WHERE nspname = $1", schema
    )
    if holder not in (None, owner_of(stack)):
        raise RolesError(
            f"schema {schema} in this database belongs to {holder}, not to this stack: point DATABASE_URL at a"
            f" database of its own, or use the MOPS_HOME that made it"
        )
    if not await _exists(connection, login_of(stack, schema)):
        await connection.execute(f"CREATE ROLE {login} LOGIN NOINHERIT")
    if not await _exists(connection, worker_of(stack, schema)):
        await connection.execute(f"CREATE ROLE {worker} NOLOGIN NOINHERIT")
    database = _name(await connection.fetchval("SELECT current_database()::text"))
    await connection.execute("SET LOCAL password_encryption = 'scram-sha-256'")
    for statement in (
        f"ALTER ROLE {login} PASSWORD {_literal(password)}",
        f"ALTER ROLE {login} SET search_path = {_name(schema)}",
        f"GRANT {worker} TO {login}",
        # TEMPORARY: COPY can't write to a table with row security, so it goes through a temporary one.
        f"GRANT CONNECT, TEMPORARY ON DATABASE {database} TO {login}",
        f"CREATE SCHEMA IF NOT EXISTS {_name(schema)} AUTHORIZATION {owner}",
        f"GRANT USAGE ON SCHEMA {_name(schema)} TO {login}, {worker}",
        f"ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA {_name(schema)}"
        f" GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {login}",
        f"ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA {_name(schema)} GRANT USAGE ON SEQUENCES TO {login}",
    ):
        await connection.execute(statement)


async def drop(admin_dsn: str, stack: str) -> None:
    """Remove this stack's schemas from this database, and its roles from the server.

    Drop other databases that hold anything of the stack first: Postgres keeps a role that is mentioned anywhere.
    """
    connection = await asyncpg.connect(admin_dsn)
    try:
        async with connection.transaction():
            owned = await connection.fetch(
                "SELECT nspname::text FROM pg_namespace WHERE pg_get_userbyid(nspowner)::text = $1", owner_of(stack)
            )
            for (schema,) in owned:
                await connection.execute(f"DROP SCHEMA {_name(schema)} CASCADE")
            mine = [role(stack, schema) for schema in table.schemas() for role in (login_of, worker_of)]
            for role in (*mine, owner_of(stack)):
                if await _exists(connection, role):
                    await connection.execute(f"GRANT {_name(role)} TO CURRENT_USER")
                    await connection.execute(f"DROP OWNED BY {_name(role)}")
                    await connection.execute(f"DROP ROLE {_name(role)}")
    finally:
        await connection.close()


async def _refuse_too_weak_an_admin(connection: Connection) -> None:
    row = await connection.fetchrow(
        "SELECT rolname::text, rolsuper, rolcreaterole, rolbypassrls,"
        " current_setting('server_version_num')::int >= 160000 AS delegates FROM pg_roles WHERE rolname = current_user"
    )
    if row is None or row["rolsuper"] or (row["delegates"] and row["rolcreaterole"] and row["rolbypassrls"]):
        return
    needed = "SUPERUSER, or CREATEROLE and BYPASSRLS" if row["delegates"] else "SUPERUSER"
    raise RolesError(
        f'role "{row["rolname"]}" of DATABASE_URL can\'t make roles that bypass row security, as migrations must:'
        f" it needs {needed}"
    )


async def _exists(connection: Connection, role: str) -> bool:
    return bool(await connection.fetchval("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", role))


def _name(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


def _literal(text: str) -> str:
    if "\0" in text or "\\" in text:
        raise ValueError("a password holds neither NUL nor a backslash")
    return "'" + text.replace("'", "''") + "'"
