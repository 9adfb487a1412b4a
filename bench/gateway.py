"""Decides what a compiled query costs the gateway's process beside graphql-core's way through the same fields.

One process of the gateway each, as `make up` serves it: token, limits, trace context, log lines and figures are in it,
and calls of services too. These answer at once, with rows of every field that their contracts promise. Left out: the
services' own time, TLS, and the first look at a document.
"""

import asyncio
import gc
import json
import multiprocessing
import os
import statistics
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from secrets import token_hex
from typing import Any
from urllib.parse import parse_qsl

import psutil
import uvicorn
import uvloop

from bench.load import drive, fetch, post
from bench.reads import until_it_answers
from chassis import migrate
from chassis.fields import new_id
from chassis.roles import scopes_of
from chassis.serving import collect_seldom, served
from chassis.testing import TestStack
from deploy.postgres import cluster, databases, roles
from gateway.derive.contract import Contract, load
from gateway.graphql import OPENAPI
from gateway.identity.token.signing import Grant, access_token

ROUNDS, SECONDS, SOCKETS = 5, 1.0, 4
PORTS = {"plan": 28_471, "fields": 28_472}
SERVICES = 28_473
BARS = {"big": 5.0, "small": 1.5}

SELECTED = """id name slug state
  goals(first: 3) { nodes { id title state metric { key } targetValue } }
  budget { allotted { amount currency } committed { amount } actual { amount } available { amount } }
  series(metric: "email.ctr", grain: MONTH, from: "2026-01-01", to: "2027-01-01") {
    points { start value numerator denominator } }"""
QUERIES = {
    "big": f"{{ campaigns(first: 50) {{ nodes {{ {SELECTED} }} }} }}",
    "small": f'{{ campaign(slug: "campaign-1") {{ {SELECTED} }} }}',
}


# --- services that answer at once -------------------------------------------------------------------------------------


class Sampled:
    """Answers made of the contracts: every field, with a value of its kind."""

    def __init__(self) -> None:
        self._contract = Contract(load(OPENAPI))
        self._answers: dict[tuple[str, bytes, bytes], bytes] = {}

    def value(self, schema: Any, **own: Any) -> Any:
        schema = self._contract.resolved(schema)
        for several in ("anyOf", "oneOf", "allOf"):
            if several in schema:
                return self.value(schema[several][0])
        if "enum" in schema:
            return schema["enum"][0]
        if "properties" in schema:
            return {name: self.value(said) for name, said in schema["properties"].items()} | own
        if schema.get("type") == "array":
            return [self.value(schema["items"])]
        texts = {"uuid": str(new_id()), "date": "2026-03-01", "date-time": "2026-03-01T12:00:00Z", "decimal": "1234.50"}
        return {"integer": 3, "number": 0.25, "boolean": False, "null": None, "object": {}}.get(
            schema.get("type", ""), texts.get(schema.get("format", ""), "as somebody has written it")
        )

    def row(self, name: str, **own: Any) -> Any:
        return self.value({"$ref": f"#/components/schemas/{name}"}, **own)

    def answer(self, path: str, query: bytes, body: bytes) -> bytes:
        key = (path, query, body)
        if key not in self._answers:
            self._answers[key] = json.dumps(
                self._make(path, parse_qsl(query.decode()), body), separators=(",", ":")
            ).encode()
        return self._answers[key]

    def _make(self, path: str, query: list[tuple[str, str]], body: bytes) -> Any:
        parents = [value for name, value in query if name == "campaign_id"]
        if path == "/v1/campaigns":
            count = int(dict(query)["limit"])
            rows = [self.row("CampaignRead", slug=f"campaign-{number + 1}") for number in range(count)]
            return {"items": rows, "next_cursor": None}
        if path == "/v1/goals":
            count = int(dict(query)["limit_per"])
            groups = [(each, [self.row("GoalRead") for _ in range(count)]) for each in parents]
            return {"groups": [{"key": key, "items": rows, "next_cursor": None} for key, rows in groups]}
        if path == "/v1/positions":
            rows = [self.row("PositionOfCampaign", campaign_id=each, problem=None) for each in parents]
            return {"items": rows, "next_cursor": None}
        queries = json.loads(body)["queries"]
        points = [self.row("SeriesPoint", start=f"2026-{month:02}-01", value=month / 7) for month in range(1, 13)]
        return {"series": [self.row("QueriedSeries", points=points, problem=None) for _ in queries]}


def serve_samples() -> None:
    sampled = Sampled()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while (message := await receive()) and message.get("more_body"):
            body += message["body"]
        body += message.get("body", b"")
        found = sampled.answer(scope["path"], scope["query_string"], body)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(found)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": found})

    uvicorn.Server(
        uvicorn.Config(
            app, host="127.0.0.1", port=SERVICES, log_config=None, access_log=False, loop="uvloop", http="httptools",
            lifespan="off",
        )
    ).run()  # fmt: skip


# --- the gateway ------------------------------------------------------------------------------------------------------


def serve_gateway(stack: TestStack, how: str) -> None:
    from joserfc.jwk import KeySet

    from chassis.tokens import Verifier
    from gateway.app import app
    from gateway.execution.execute import Executor

    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    urls = dict.fromkeys(("goals", "assets", "budget", "metrics"), f"http://127.0.0.1:{SERVICES}")
    settings = {"urls": urls, "log_format": "json", "graph_cost": 10**12, "read_seconds": 10.0}
    app.state.settings = stack.settings("gateway").model_copy(update=settings)
    app.state.background = False
    app.state.http = object()
    app.state.verifier = Verifier("http://gateway", app.state.http)
    app.state.verifier.trust(KeySet([stack.key]).as_dict(private=False))
    if how == "fields":

        async def none(*_: Any) -> None:
            return None

        Executor.by_plan = none  # type: ignore[method-assign, assignment]
    collect_seldom()
    uvicorn.Server(served(app, host="127.0.0.1", port=PORTS[how])).run()


async def measure(pids: dict[str, int], headers: dict[str, str]) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """Per query and way: CPU ms of the process and median ms, in each round. The ways take turns."""
    found: dict[str, dict[str, list[tuple[float, float]]]] = {}
    processes = {how: psutil.Process(pid) for how, pid in pids.items()}
    for name, query in QUERIES.items():
        body = json.dumps({"query": query}).encode()
        wires = {how: post(f"http://127.0.0.1:{port}/graphql", headers, body) for how, port in PORTS.items()}
        answers = {how: await fetch(PORTS[how], wire) for how, wire in wires.items()}
        assert answers["plan"] == answers["fields"], f"{name}: the two answer differently"
        assert b'"errors"' not in answers["plan"], answers["plan"][:500]
        print(f"{name}: {len(answers['plan'])} bytes")
        found[name] = {how: [] for how in PORTS}
        for number in range(ROUNDS + 1):
            for how in sorted(PORTS, reverse=number % 2 == 1):
                before = processes[how].cpu_times()
                told = await drive(PORTS[how], [wires[how]], SOCKETS, SECONDS)
                after = processes[how].cpu_times()
                spent = after.user + after.system - before.user - before.system
                if number:
                    found[name][how].append((spent * 1000 / told.requests, told.median_ms))
    return found


def tell(found: dict[str, dict[str, list[tuple[float, float]]]]) -> None:
    print(f"{ROUNDS} rounds of {SECONDS} s, {SOCKETS} sockets, one process each; medians\n")
    print(
        f"{'':8}{'CPU ms/request':>24}{'p50 ms':>20}\n{'':8}"
        + "".join(f"{how:>{width}}" for width in (12, 10) for how in PORTS)
    )
    ratios = {}
    for name, ways in found.items():
        print(f"{name:8}" + "".join(
            f"{statistics.median(each[figure] for each in ways[how]):{width}.3f}"
            for figure, width in ((0, 12), (1, 10)) for how in PORTS
        ))  # fmt: skip
        ratios[name] = statistics.median(
            fields[0] / plan[0] for plan, fields in zip(ways["plan"], ways["fields"], strict=True)
        )
    print()
    print(
        json.dumps({"bench": "gateway", "ratios": {key: round(each, 2) for key, each in ratios.items()}, "bars": BARS})
    )


def main() -> None:
    forked = multiprocessing.get_context("fork")
    gc.collect()
    gc.freeze()
    with tempfile.TemporaryDirectory(prefix="mops-bench-") as folder, cluster.running(Path(folder) / "postgres") as up:
        name = f"mops_bench_{os.getpid()}"
        admin_dsn = asyncio.run(databases.create(up.admin_dsn, name))
        parts = ("gateway", "goals", "assets", "budget", "metrics")
        stack = TestStack(
            admin_dsn=admin_dsn, name=name, home=Path(folder), clock=None,  # type: ignore[arg-type]
            passwords={part: token_hex(8) for part in parts}, service_secrets={part: token_hex(8) for part in parts},
        )  # fmt: skip
        workers = {}
        try:

            async def prepare() -> None:
                await roles.ensure(stack.admin_dsn, stack.name, stack.passwords)
                await migrate.upgrade(stack.admin_dsn, "gateway", stack.name)

            asyncio.run(prepare())
            held = ["specialist"]
            grant = Grant("client:bench", "bench", new_id(), held, sorted(scopes_of(held)), timedelta(hours=1))
            token = access_token(grant, stack.key, "http://gateway", datetime.now(UTC))
            workers = {how: forked.Process(target=serve_gateway, args=(stack, how)) for how in PORTS}
            workers["services"] = forked.Process(target=serve_samples)
            for each in workers.values():
                each.start()

            async def run() -> Any:
                for port in (*PORTS.values(), SERVICES):
                    await until_it_answers(port)
                return await measure(
                    {how: workers[how].pid or 0 for how in PORTS}, {"Authorization": f"Bearer {token}"}
                )

            tell(uvloop.run(run()))
        finally:
            for each in workers.values():
                each.terminate()
                each.join(10)
            asyncio.run(databases.drop(up.admin_dsn, name))
            asyncio.run(roles.drop(up.admin_dsn, name))


if __name__ == "__main__":
    main()
