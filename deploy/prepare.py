"""Decides what must be true of the database before the services start, and when that can be skipped."""

import asyncio
import dataclasses
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import uvloop

from chassis import stack
from chassis.demo import ActFailedError
from deploy.credentials import Credentials
from deploy.demo_size import DemoError, asked_size
from deploy.postgres import roles
from deploy.postgres.cluster import Server
from deploy.postgres.process import answers

ROOT = Path(__file__).resolve().parent.parent
# Any change to these may change what the database should look like.
SOURCES = ("chassis", "services", "gateway", "deploy")


def prepare(
    admin_dsn: str, credentials: Credentials, server: Server | None,
    settings_of: Callable[[stack.Part], dict[str, str]], home_of: Callable[[str], Path], seconds: float = 60,
) -> int:  # fmt: skip
    """Roles, migrations and the demo workspace; the exit code of the process that does it. `settings_of` a part are its
    variables, `home_of` it the folder in which it keeps what isn't in Postgres."""
    if server is not None:
        with _step("Postgres answers"):
            deadline = time.monotonic() + seconds
            while not answers(server.socket):
                if time.monotonic() > deadline:
                    print(f"Postgres doesn't answer within {seconds:.0f} s: its own words are above", file=sys.stderr)
                    return 1
                time.sleep(0.02)
    wanted = _fingerprint(credentials)
    try:
        if asyncio.run(_stored_fingerprint(admin_dsn)) == wanted:
            return 0
        with _step("roles"):
            asyncio.run(roles.ensure(admin_dsn, credentials.stack, credentials.database))
    except (OSError, roles.RolesError, asyncpg.PostgresError, asyncpg.InterfaceError) as problem:
        print(f"the database can't be prepared: {problem}", file=sys.stderr)
        return 1
    from chassis import migrate
    from gateway import seed

    with _step("migrations"):
        for part in stack.parts():
            asyncio.run(migrate.upgrade(admin_dsn, part, credentials.stack))
    with _step("workspaces and clients"):
        asyncio.run(seed.ensure(admin_dsn, credentials.stack, credentials.clients, credentials.services))
    try:
        if size := asked_size():
            # All services at once: two seconds and more, for nothing where no demo is asked for.
            from deploy import demo

            with _step("demo workspace"):
                uvloop.run(demo.ensure(admin_dsn, credentials, settings_of, home_of, _say, size))
    except (DemoError, ActFailedError) as problem:
        print(f"the demo workspace can't be made: {problem}", file=sys.stderr)
        return 1
    asyncio.run(_store_fingerprint(admin_dsn, wanted))
    return 0


def _say(text: str) -> None:
    print(text, flush=True)


@contextmanager
def _step(name: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    print(f"{name} ({time.monotonic() - started:.1f} s)", flush=True)


def _fingerprint(credentials: Credentials) -> str:
    told = [dataclasses.asdict(credentials), os.environ.get("MOPS_DEMO")]
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode())
    for folder in SOURCES:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in (".py", ".sql", ".toml", ".json"):
                digest.update(path.read_bytes())
    return digest.hexdigest()


async def _stored_fingerprint(admin_dsn: str) -> str | None:
    """Kept as a comment on the gateway's schema, so that it goes where the data goes."""
    connection = await asyncpg.connect(admin_dsn)
    try:
        found: str | None = await connection.fetchval(
            "SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = 'gateway'"
        )
        return found
    finally:
        await connection.close()


async def _store_fingerprint(admin_dsn: str, fingerprint: str) -> None:
    connection = await asyncpg.connect(admin_dsn)
    try:
        await connection.execute(f"COMMENT ON SCHEMA gateway IS '{fingerprint}'")
    finally:
        await connection.close()
