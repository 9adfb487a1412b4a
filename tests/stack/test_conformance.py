"""No request that a contract allows, and none that it doesn't, breaks a part, and every answer is as the contract says:
generated from the OpenAPI files and the graph."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx
import pytest

from chassis.stack import parts
from tests.contract.filled import Clients, Filled, fill
from tests.contract.generated import Graph, Service, Tally, lines
from tests.stack.conftest import ROOT, Running

CASES = 200
# A short run is a small sample: the bar of 30 % is the long run's, in bench/conformance.py.
LEAST = 0.1
# What can't be granted here, as a job fails only when the house does.
NEVER_GRANTED = {"retry_goals_job", "retry_assets_job", "retry_budget_job", "retry_metrics_job"}


@dataclass
class Target:
    """A running stack with a filled workspace."""

    running: Running
    runner: asyncio.Runner
    workspace: Filled

    def service(self, part: str) -> Service:
        http = self.running.client(part, "demo-admin")
        another = self.running.client(part, "demo-manager")
        return Service(part, self.workspace, self.runner.run, http, another, self.running.service_token("gateway"))

    def graph(self) -> Graph:
        http = self.running.client("gateway", "demo-admin")
        return Graph(self.workspace, http, (ROOT / "gateway" / "schema.graphql").read_text())


@contextmanager
def filled(running: Running) -> Iterator[Target]:
    """The demo workspace of a running stack, with a row of every resource."""
    with asyncio.Runner() as runner:
        clients = {}
        for part in parts():
            known = running.client(part, "demo-admin")
            clients[part] = httpx.AsyncClient(
                base_url=known.base_url, headers=known.headers, timeout=30, trust_env=False
            )
        workspace = Filled(running.workspace("demo-admin"), clients, lambda: datetime.now(UTC))
        try:
            runner.run(fill(workspace, lambda: delivered(clients)))
            yield Target(running, runner, workspace)
        finally:
            for client in clients.values():
                runner.run(client.aclose())


async def delivered(clients: Clients) -> None:
    """Until no part has an event to tell: they travel by themselves here."""
    while True:
        told = [(await client.get("/readyz")).json() for client in clients.values()]
        if not any(each["outbox"]["waiting"] for each in told):
            return
        await asyncio.sleep(0.05)


@pytest.fixture(scope="module")
def target(running: Running) -> Iterator[Target]:
    with filled(running) as made:
        yield made


def held(tally: Tally) -> None:
    assert tally.broken == [], "\n".join(tally.broken[:5])
    # A suite that is refused at the door proves nothing.
    low = {name for name, share in tally.shares.items() if share < LEAST} - NEVER_GRANTED
    assert low == set(), "\n".join(lines(tally))


@pytest.mark.parametrize("part", [part for part in parts() if part != "gateway"])
def test_nothing_generated_from_its_contract_breaks_a_service(target: Target, part: str) -> None:
    held(target.service(part).go(CASES))


def test_nothing_generated_from_its_schema_breaks_the_graph(target: Target) -> None:
    held(target.graph().go(CASES))
