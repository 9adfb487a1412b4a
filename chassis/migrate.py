"""Decides how a schema comes to its newest form: the chassis's migrations and the part's own, by one environment."""

from pathlib import Path
from typing import Any

from alembic import command, op
from alembic.config import Config
from sqlalchemy import Column, Connection, DateTime, Uuid, text
from sqlalchemy.exc import DBAPIError

from chassis.connections import engine_to

ROOT = Path(__file__).parent.parent
# Deadlock detected, lock not available.
BUSY = {"40P01", "55P03"}
LOCK_SECONDS = 3
ATTEMPTS = 20
INSTANT = DateTime(timezone=True)
TENANT = "workspace_id = nullif(current_setting('mops.workspace', true), '')::uuid"


def _own(part: str) -> Path:
    return ROOT / ("gateway" if part == "gateway" else f"services/{part}") / "migrations"


def config_of(part: str, stack: str, connection: Connection | None = None) -> Config:
    """Alembic's configuration for one part's schema."""
    config = Config()
    config.set_main_option("script_location", str(ROOT / "chassis" / "migrations"))
    config.set_main_option("path_separator", "os")
    config.set_main_option("version_locations", f"{ROOT / 'chassis' / 'migrations' / 'versions'}:{_own(part)}")
    config.attributes.update(part=part, stack=stack, connection=connection)
    return config


def migrate(connection: Connection, part: str, stack: str, revision: str = "heads") -> None:
    """Brings one schema up to its newest form, or down to `base`, as the role that owns it.

    While it waits for a table, whoever comes after it waits too: so it doesn't wait long, and tries again, as it does
    where it and the version that serves wait for each other. All or nothing, each time.
    """
    connection.execute(text(f'SET ROLE "{stack}_owner"'))
    connection.execute(text(f"SET lock_timeout = '{LOCK_SECONDS}s'"))
    connection.commit()
    step = command.downgrade if revision == "base" else command.upgrade
    for left in reversed(range(ATTEMPTS)):
        try:
            step(config_of(part, stack, connection), revision)
            break
        except DBAPIError as problem:
            connection.rollback()
            if getattr(problem.orig, "sqlstate", None) not in BUSY or not left:
                raise
    if revision != "base":
        connection.execute(text(f'REVOKE ALL ON "{part}".alembic_version FROM "{stack}_{part}"'))
    connection.execute(text("RESET lock_timeout"))
    connection.execute(text("RESET ROLE"))
    connection.commit()


async def upgrade(admin_dsn: str, part: str, stack: str) -> None:
    """Brings one part's schema to its newest form."""
    engine = engine_to(admin_dsn)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(migrate, part, stack)
    finally:
        await engine.dispose()


def key_columns() -> list[Column[Any]]:
    """In a migration: what the key of a table whose rows have an id is made of."""
    return [Column("workspace_id", Uuid, primary_key=True), Column("id", Uuid, primary_key=True)]


def tenant_table(table: str) -> None:
    """In a migration: forces row-level security on a table, so that a transaction sees its own workspace alone."""
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY tenant ON {table} USING ({TENANT}) WITH CHECK ({TENANT})")


def worker_may(table: str, rights: str) -> None:
    """In a migration: lets the worker role use a table across workspaces, with the rights named and no others."""
    role = worker_role()
    op.execute(f'GRANT {rights} ON {table} TO "{role}"')
    op.execute(f'CREATE POLICY worker ON {table} TO "{role}" USING (true) WITH CHECK (true)')


def login_role() -> str:
    attributes: dict[str, Any] = op.get_context().config.attributes  # type: ignore[union-attr]
    return f"{attributes['stack']}_{attributes['part']}"


def worker_role() -> str:
    return f"{login_role()}_worker"
