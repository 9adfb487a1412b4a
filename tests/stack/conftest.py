"""Decides how a test gets the whole stack: real processes, real Postgres, real ports, a home of its own."""

import asyncio
import json
import os
import secrets
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from chassis.serving import KEEPALIVE_SECONDS
from chassis.stack import parts
from deploy.postgres import cluster, databases, roles
from tests.deploy.until import gone, until

ROOT = Path(__file__).parent.parent.parent


def free_ports(count: int) -> int:
    """The first of so many ports in a row that nothing listens on."""
    for _ in range(100):
        # Below where the system takes ports for outgoing connections from; at random, as other suites may run beside.
        first = 10_000 + secrets.randbelow(20_000)
        try:
            for port in range(first, first + count):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return first
    raise RuntimeError("no free ports")


# A server closes what was idle for as long as a client keeps it by default: who asks in that moment is told nothing.
KEPT = httpx.Limits(keepalive_expiry=KEEPALIVE_SECONDS / 2)
# Nothing here speaks TLS; to read the machine's certificates would take each client longer than its requests.
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@dataclass(frozen=True)
class Account:
    """What an API client proves itself with."""

    id: str
    secret: str = field(repr=False)


@dataclass
class Running:
    """A stack that is ready, and how to reach, freeze and kill its parts."""

    home: Path
    port: int
    clients: ExitStack

    def url(self, part: str) -> str:
        return f"http://127.0.0.1:{self.port + parts()[part].port}"

    def pid(self, part: str) -> int:
        return int((self.home / "run" / f"{part}.pid").read_text())

    def bearer(self, who: Account) -> dict[str, str]:
        """The header with a fresh token."""
        answer = httpx.post(
            f"{self.url('gateway')}/oauth/token",
            data={"grant_type": "client_credentials"}, auth=(who.id, who.secret), trust_env=False, verify=NO_TLS,
        )  # fmt: skip
        return {"Authorization": f"Bearer {answer.raise_for_status().json()['access_token']}"}

    def client_of(self, part: str, who: Account) -> httpx.Client:
        client = httpx.Client(
            base_url=self.url(part), headers=self.bearer(who), timeout=30, trust_env=False, limits=KEPT, verify=NO_TLS
        )
        return self.clients.enter_context(client)

    def client(self, part: str, name: str) -> httpx.Client:
        """A client of a part with a fresh token of the client that clients.json calls so."""
        return self.client_of(part, self._account("clients.json", name))

    def _account(self, file: str, name: str) -> Account:
        who = json.loads((self.home / file).read_text())[name]
        return Account(who["client_id"], who["client_secret"])

    def open_workspace(self) -> tuple[UUID, Account]:
        """One more workspace, and a client with its role admin."""
        operator = self.client_of("gateway", self._account("services.json", "operator"))
        body = {"name": "Opened", "zone": "Europe/Berlin", "currency": "EUR"}
        made = operator.post("/v1/workspaces", json=body).raise_for_status().json()
        client = operator.post(f"/v1/workspaces/{made['id']}/admins").raise_for_status().json()
        return UUID(made["id"]), Account(client["id"], client["client_secret"])

    def workspace(self, name: str) -> UUID:
        return UUID(json.loads((self.home / "clients.json").read_text())[name]["workspace_id"])

    def service_token(self, part: str) -> str:
        """A token of a part's own account, as its relay gets one."""
        return self.bearer(self._account("services.json", part))["Authorization"].removeprefix("Bearer ")

    def ready(self, part: str) -> bool:
        try:
            return httpx.get(f"{self.url(part)}/readyz", timeout=2, trust_env=False, verify=NO_TLS).status_code == 200
        except httpx.HTTPError:
            return False

    @contextmanager
    def frozen(self, part: str) -> Iterator[None]:
        pid = self.pid(part)
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)


@contextmanager
def database_of_its_own(home: Path, server: str | None = None) -> Iterator[dict[str, str]]:
    """On a server that somebody named, a database beside the named one, gone afterwards with the stack's roles."""
    server = server or cluster.external()
    if server is None:
        yield {}
        return
    name = f"mops_test_{secrets.token_hex(4)}"
    url = asyncio.run(databases.create(server, name))
    try:
        yield {"DATABASE_URL": url}
    finally:
        asyncio.run(databases.drop(server, name))
        asyncio.run(roles.drop(server, json.loads((home / "secrets.json").read_text())["stack"]))


@contextmanager
def started(home: Path, program: str = "deploy.local", **variables: str) -> Iterator[Running]:
    with database_of_its_own(home) as database, started_over(home, database | variables, program) as stack:
        yield stack


@contextmanager
def started_over(home: Path, variables: dict[str, str], program: str = "deploy.local") -> Iterator[Running]:
    # Room for a second replica of each part behind the first ones.
    port = free_ports(2 * len(parts()))
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("MOPS_", "PYTEST_"))}
    environment |= {"MOPS_HOME": str(home), "MOPS_PORT": str(port), "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    environment |= {"MOPS_DEMO": "none"} | variables
    with (home.parent / f"{home.name}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", program],
            cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
    said = Path(log.name)
    try:
        until(lambda: b"mops is ready" in said.read_bytes() or process.poll() is not None, "ready", 180)
        assert process.poll() is None, said.read_text(errors="replace")[-3000:]
        with ExitStack() as clients:
            yield Running(home, port, clients)
    finally:
        pids = [int(path.read_text()) for path in (home / "run").glob("*.pid")]
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert all(gone(pid) for pid in pids)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with started(tmp_path_factory.mktemp("stack") / "home") as stack:
        yield stack
