"""What a process promises that is asked to end: what it has begun it finishes, what it acknowledged is there, and what
it leased waits for nobody."""

import asyncio
import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import psutil
import pytest
from joserfc.jwk import KeySet
from starlette.types import Receive, Scope, Send

from chassis.fields import new_id
from chassis.roles import scopes_of
from chassis.stack import parts
from chassis.testing import TestStack, prepared
from deploy.postgres import databases
from gateway.identity.token.signing import Grant, access_token
from tests.deploy.until import until
from tests.gateway.conftest import bound, served, url_of
from tests.stack.conftest import NO_TLS, free_ports

ROOT = Path(__file__).parent.parent.parent
BEFORE_THE_KILL = 10  # seconds after which a supervisor insists
SERVE = """
import sys, uvicorn
from chassis.serving import served
from services.goals.app import app
uvicorn.Server(served(app, host="127.0.0.1", port=int(sys.argv[1]))).run()
"""
SUBSCRIBERS = [name for name, part in parts().items() if "goals" in part.hears]
CAMPAIGN = {"name": "A", "channels": ["email"], "flight": {"start": "2026-03-01", "end": "2026-04-01"}}


@pytest.fixture(scope="module")
def own(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestStack]:
    """A database whose jobs and events no other test minds."""
    name = f"mops_stopping_{secrets.token_hex(3)}"
    admin_dsn = asyncio.run(databases.create(postgres, name))
    with prepared(admin_dsn, tmp_path_factory.mktemp("home")) as stack:
        yield stack
    asyncio.run(databases.drop(postgres, name))


class Goals:
    """The service as a process of its own, in which one workspace is known."""

    def __init__(self, url: str, running: "subprocess.Popen[bytes]", token: str, workspace: UUID) -> None:
        self.url = url
        self.running = running
        self.headers = {"Authorization": f"Bearer {token}"}
        self.workspace = workspace

    async def ends(self, seconds: float = BEFORE_THE_KILL) -> None:
        await asyncio.to_thread(self.running.wait, seconds)
        assert self.running.returncode == -signal.SIGTERM

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url, headers=self.headers, trust_env=False, verify=NO_TLS)

    def listens(self) -> bool:
        return bool(
            [each for each in psutil.Process(self.running.pid).net_connections("tcp") if each.status == "LISTEN"]
        )


@asynccontextmanager
async def goals_of(own: TestStack, hears: str, log: Path) -> AsyncIterator[Goals]:
    """Goals, ready; `hears` is where its events go."""

    async def issuer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/v1/inbox":  # what hears everything takes nothing here
            await asyncio.Event().wait()
        keys = KeySet([own.key]).as_dict(private=False)
        answer: Any = keys if scope["path"].endswith("jwks.json") else {"access_token": "x", "expires_in": 300}
        kind = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": kind})
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})

    settings, workspace, port = own.settings("goals"), new_id(), free_ports(1)
    admin = await asyncpg.connect(own.admin_dsn)
    # What another test left undelivered would be sent first.
    await admin.execute("DELETE FROM goals.delivery")
    await admin.execute("INSERT INTO goals.workspace VALUES ($1, 'Test', 'Europe/Berlin', 'EUR')", workspace)
    await admin.close()
    async with served(issuer) as url:
        environment = {
            "PATH": os.environ["PATH"], "MOPS_PART": "goals", "MOPS_HOME": str(own.home), "MOPS_ISSUER": url,
            "MOPS_DATABASE_URL": settings.database_url.get_secret_value(), "MOPS_WORKER_ROLE": settings.worker_role,
            "MOPS_SECRET_KEY": settings.secret_key.get_secret_value(), "MOPS_SERVICE_SECRET": "x",
            "MOPS_URLS": json.dumps({**dict.fromkeys(SUBSCRIBERS, hears), "gateway": url}),
        }  # fmt: skip
        scopes = sorted(scopes_of(["admin"]))
        grant = Grant("client:t", "t", workspace, ["admin"], scopes, timedelta(hours=1))
        token = access_token(grant, own.key, url, datetime.now(UTC))
        with log.open("wb") as said:
            running = subprocess.Popen(  # noqa: ASYNC220  # one fork
                [sys.executable, "-c", SERVE, str(port)], cwd=ROOT, env=environment, stdout=said, stderr=said
            )
        found = Goals(f"http://127.0.0.1:{port}", running, token, workspace)

        def ready() -> bool:
            assert running.poll() is None, log.read_text()[-2000:]
            try:
                return httpx.get(f"{found.url}/readyz", trust_env=False, timeout=2, verify=NO_TLS).status_code == 200
            except httpx.HTTPError:
                return False

        try:
            await asyncio.to_thread(until, ready, "ready")
            yield found
        finally:
            running.kill()
            running.wait()


async def seen(admin: "asyncpg.Connection[Any]", query: str, *values: object, wanted: object) -> None:
    """Waits until the database answers so."""
    async with asyncio.timeout(30):
        while await admin.fetchval(query, *values) != wanted:  # noqa: ASYNC110  # what changes is elsewhere
            await asyncio.sleep(0.02)


async def test_what_was_begun_is_answered_after_its_commit_and_the_process_ends(own: TestStack, tmp_path: Path) -> None:
    admin, locker = await asyncpg.connect(own.admin_dsn), await asyncpg.connect(own.admin_dsn)
    with bound() as silent:
        async with goals_of(own, url_of(silent), tmp_path / "log") as goals:
            async with goals.client() as http:
                async with locker.transaction():
                    await locker.execute("LOCK goals.campaign IN ACCESS EXCLUSIVE MODE")
                    asked = [
                        asyncio.create_task(http.post("/v1/campaigns", json={**CAMPAIGN, "slug": f"a-{n}"}, timeout=20))
                        for n in range(4)
                    ]
                    # Jobs that look at campaigns wait, too.
                    blocked = "SELECT count(*) FROM pg_stat_activity WHERE usename = $1 AND wait_event_type = 'Lock'" \
                        " AND query LIKE 'INSERT INTO %campaign%'"  # fmt: skip
                    await seen(admin, blocked, f"{own.name}_goals", wanted=4)
                    goals.running.send_signal(signal.SIGTERM)
                    await asyncio.to_thread(until, lambda: not goals.listens(), "it takes no more")
                    assert not [task for task in asked if task.done()]
                answers = await asyncio.gather(*asked)
            assert [answer.status_code for answer in answers] == [201] * 4
            await goals.ends()
            count = "SELECT count(*) FROM goals.campaign WHERE workspace_id = $1"
            assert await admin.fetchval(count, goals.workspace) == 4
    await admin.close()
    await locker.close()


async def test_what_was_being_delivered_waits_for_no_lease(own: TestStack, tmp_path: Path) -> None:
    admin = await asyncpg.connect(own.admin_dsn)
    leased = "SELECT count(*) FROM goals.delivery WHERE workspace_id = $1 AND due_at > now()"
    with bound() as silent:
        async with goals_of(own, url_of(silent), tmp_path / "log") as goals:
            async with goals.client() as http:
                assert (await http.post("/v1/campaigns", json={**CAMPAIGN, "slug": "a"})).status_code == 201
            await seen(admin, leased, goals.workspace, wanted=len(SUBSCRIBERS))
            goals.running.send_signal(signal.SIGTERM)
            await goals.ends()
            # One that was not answered before, on a slow machine, waits for its own time.
            assert await admin.fetchval(f"{leased} AND attempts = 0", goals.workspace) == 0
            waiting = "SELECT count(*) FROM goals.delivery WHERE workspace_id = $1"
            assert await admin.fetchval(waiting, goals.workspace) == len(SUBSCRIBERS)
    await admin.close()


async def test_a_request_that_never_ends_holds_up_the_end_no_longer_than_its_bound(
    own: TestStack, tmp_path: Path
) -> None:
    with bound() as silent:
        async with goals_of(own, url_of(silent), tmp_path / "log") as goals:
            _, writer = await asyncio.open_connection("127.0.0.1", int(goals.url.rpartition(":")[2]))
            stalled = f"POST /v1/campaigns HTTP/1.1\r\nHost: x\r\nAuthorization: {goals.headers['Authorization']}\r\n"
            writer.write(stalled.encode() + b"Content-Type: application/json\r\nContent-Length: 9999\r\n\r\n{")
            await writer.drain()
            async with goals.client() as http:
                assert (await http.get("/v1/campaigns")).status_code == 200
            goals.running.send_signal(signal.SIGTERM)
            await goals.ends()
            writer.close()
