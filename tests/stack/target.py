"""Decides what generated requests are sent to: a running stack, and a workspace of it with a row of every resource."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

import asyncpg
import httpx

from chassis.fields import new_id
from chassis.stack import parts
from tests.contract.filled import Clients, Filled, fill
from tests.contract.generated import Service
from tests.contract.generated_graph import Graph
from tests.contract.states import STARTS, posted_statement
from tests.stack.conftest import KEPT, NO_TLS, ROOT, Account, Running

# No replica knows a job of this name, so that one which is asked for again is never run.
JOB = """
    INSERT INTO {part}.work (id, name, workspace_id, subject, state, attempts, created_at, changed_at)
    VALUES ($1, 'given_up', $2, $1, 'failed', 8, now(), now()) RETURNING id
"""
# Like another of the same alert, of a day of its own.
FINDING = """
    INSERT INTO {part}.finding (workspace_id, id, alert_id, start, value, "limit", metric_version, found_at)
    SELECT workspace_id, $1, alert_id, start - 1, value, "limit", metric_version, now()
    FROM {part}.finding WHERE workspace_id = $2 ORDER BY start LIMIT 1 RETURNING id
"""
# As when its job was given up.
GIVEN_UP = """
    UPDATE budget.statement SET state = 'failed', problem = 'given_up' WHERE workspace_id = $2 AND id = $1 RETURNING id
"""


@dataclass
class Target:
    """A running stack, a workspace of it that is filled, and two clients: who makes a thing doesn't approve it."""

    running: Running
    runner: asyncio.Runner
    workspace: Filled
    admin: Account
    manager: Account
    admin_dsn: str
    _services: dict[str, Service] = field(default_factory=dict)
    _graph: Graph | None = None

    def service(self, part: str) -> Service:
        if part not in self._services:
            http, another = (self.running.client_of(part, who) for who in (self.admin, self.manager))
            laid = {"job": lambda: self._lay(part, JOB), "finding": lambda: self._lay("metrics", FINDING)}
            laid |= {name: partial(self._start, start) for name, start in STARTS.items()}
            laid["resume_statement"] = lambda: self._lay("budget", GIVEN_UP, UUID(self._start(posted_statement)))
            self._services[part] = Service(part, self.workspace, self.runner.run, http, another, "", laid)
        return self._services[part]

    def graph(self) -> Graph:
        if self._graph is None:
            http, another = (self.running.client_of("gateway", who) for who in (self.admin, self.manager))
            sdl = (ROOT / "gateway" / "schema.graphql").read_text()
            self._graph = Graph(self.workspace, http, another, sdl, {part: self.service(part) for part in parts()})
        return self._graph

    def renew(self) -> None:
        """Fresh tokens for everybody: a long run outlives them."""
        admin, manager = self.running.bearer(self.admin), self.running.bearer(self.manager)
        receiver = self.running.service_token("gateway")
        asked: list[Service | Graph] = [*self._services.values(), *([self._graph] if self._graph else [])]
        for client in (*self.workspace.clients.values(), *(each.http for each in asked)):
            client.headers.update(admin)
        for client in (*self.workspace.others.values(), *(each.another for each in asked)):
            client.headers.update(manager)
        for service in self._services.values():
            service.service_token = receiver

    def _start(self, start: Callable[[Filled], Coroutine[Any, Any, str]]) -> str:
        return self.runner.run(start(self.workspace))

    def _lay(self, part: str, statement: str, row: UUID | None = None) -> str:
        """Of what comes about only when something goes wrong, a row by hand."""
        return self.runner.run(
            lay(self.admin_dsn, statement.replace("{part}", part), row or new_id(), self.workspace.id)
        )


async def lay(admin_dsn: str, statement: str, row: UUID, workspace: UUID) -> str:
    connection = await asyncpg.connect(admin_dsn)
    try:
        return str(await connection.fetchval(statement, row, workspace))
    finally:
        await connection.close()


@contextmanager
def filled(running: Running, admin_dsn: str) -> Iterator[Target]:
    """A new workspace of a running stack, with a row of every resource."""
    who, admin = running.open_workspace()
    with asyncio.Runner() as runner:
        clients = clients_of(running, admin)
        others: dict[str, httpx.AsyncClient] = {}
        try:
            runner.run(delivered(clients))
            answer = runner.run(clients["gateway"].post("/v1/api-clients", json={"name": "m", "roles": ["manager"]}))
            made = answer.raise_for_status().json()
            manager = Account(made["id"], made["client_secret"])
            others |= clients_of(running, manager)
            workspace = Filled(who, clients, others, lambda: datetime.now(UTC))
            runner.run(fill(workspace, lambda: delivered(clients)))
            runner.run(alerted(workspace))
            yield Target(running, runner, workspace, admin, manager, admin_dsn)
        finally:
            for client in (*clients.values(), *others.values()):
                runner.run(client.aclose())


def clients_of(running: Running, who: Account) -> dict[str, httpx.AsyncClient]:
    headers = running.bearer(who)
    return {
        part: httpx.AsyncClient(
            base_url=running.url(part), headers=headers, timeout=30, trust_env=False, limits=KEPT, verify=NO_TLS
        )
        for part in parts()
    }


async def alerted(workspace: Filled) -> None:
    """Until the alerts have found something: they are looked at by a job here."""
    async with asyncio.timeout(60):
        while True:
            answer = await workspace.clients["metrics"].get("/v1/findings")
            workspace.rows["finding"] = answer.raise_for_status().json()["items"]
            if workspace.rows["finding"]:
                return
            await asyncio.sleep(0.1)


async def delivered(clients: Clients) -> None:
    """Until no part has an event to tell: they travel by themselves here."""
    while True:
        told = [(await client.get("/readyz")).json() for client in clients.values()]
        if not any(each["outbox"]["waiting"] for each in told):
            return
        await asyncio.sleep(0.05)
