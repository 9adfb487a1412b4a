"""Decides how the gateway is served alone: one process as `make up` has it, over services that answer at once."""

import asyncio
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from secrets import token_hex

import uvicorn

from chassis import migrate
from chassis.fields import new_id
from chassis.roles import scopes_of
from chassis.serving import collect_seldom, served
from chassis.testing import TestStack
from deploy.postgres import cluster, databases, roles
from gateway.identity.token.signing import Grant, access_token

PARTS = ("gateway", "goals", "assets", "budget", "metrics")


@contextmanager
def migrated() -> Iterator[TestStack]:
    """A stack with the gateway's schema, in a Postgres of its own."""
    with tempfile.TemporaryDirectory(prefix="mops-bench-") as folder, cluster.running(Path(folder) / "postgres") as up:
        name = f"mops_bench_{os.getpid()}"
        admin_dsn = asyncio.run(databases.create(up.admin_dsn, name))
        stack = TestStack(
            admin_dsn=admin_dsn, name=name, home=Path(folder), clock=None,  # type: ignore[arg-type]
            passwords={part: token_hex(8) for part in PARTS}, service_secrets={part: token_hex(8) for part in PARTS},
        )  # fmt: skip

        async def prepare() -> None:
            await roles.ensure(stack.admin_dsn, stack.name, stack.passwords)
            await migrate.upgrade(stack.admin_dsn, "gateway", stack.name)

        try:
            asyncio.run(prepare())
            yield stack
        finally:
            asyncio.run(databases.drop(up.admin_dsn, name))
            asyncio.run(roles.drop(up.admin_dsn, name))


def bearer(stack: TestStack) -> dict[str, str]:
    """The header of a caller whom this stack's gateway lets in."""
    held = ["specialist"]
    grant = Grant("client:bench", "bench", new_id(), held, sorted(scopes_of(held)), timedelta(hours=1))
    return {"Authorization": f"Bearer {access_token(grant, stack.key, 'http://gateway', datetime.now(UTC))}"}


def serve_gateway(stack: TestStack, port: int, services: int, change: Callable[[], None] = lambda: None) -> None:
    """Blocks. All services are at one port; `change` is done to this process before it serves."""
    from joserfc.jwk import KeySet

    from chassis.tokens import Verifier
    from gateway.app import app

    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    urls = dict.fromkeys(PARTS[1:], f"http://127.0.0.1:{services}")
    settings = {"urls": urls, "log_format": "json", "graph_cost": 10**12, "read_seconds": 10.0}
    app.state.settings = stack.settings("gateway").model_copy(update=settings)
    app.state.background = False
    app.state.http = object()
    app.state.verifier = Verifier("http://gateway", app.state.http)
    app.state.verifier.trust(KeySet([stack.key]).as_dict(private=False))
    change()
    collect_seldom()
    uvicorn.Server(served(app, host="127.0.0.1", port=port)).run()
