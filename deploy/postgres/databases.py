"""Decides how a database beside the given one comes and goes; tests give each worker one of its own."""

import asyncpg

from deploy.postgres import dsn


async def create(admin_dsn: str, name: str, template: str | None = None) -> str:
    """Make a database on the same server, as a copy of `template` if given; answers with its URL.

    A template must have no connection open.
    """
    connection = await asyncpg.connect(admin_dsn)
    try:
        source = f" TEMPLATE {_identifier(template)}" if template else ""
        await connection.execute(f"CREATE DATABASE {_identifier(name)}{source}")
    finally:
        await connection.close()
    return dsn.with_database(admin_dsn, name)


async def drop(admin_dsn: str, name: str) -> None:
    """Remove a database and whoever is connected to it; no error if there is none."""
    connection = await asyncpg.connect(admin_dsn)
    try:
        await connection.execute(f"DROP DATABASE IF EXISTS {_identifier(name)} WITH (FORCE)")
    finally:
        await connection.close()


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
