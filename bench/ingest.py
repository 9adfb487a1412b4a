"""Decides what taking events in costs, beside what the database allows and what FastAPI does with nothing to do.

Sides, in turn, over the same events: the limit (COPY to a staging table, then INSERT .. ON CONFLICT into a plain table
of the same columns and indexes, one connection, 10,000 at a time); ours, through the real service over HTTP, 1,000
signed events a POST; a naive route (FastAPI and pydantic, an INSERT for each event). Then one event a POST over 64
connections, beside a FastAPI and pydantic route that does nothing, and beside an ASGI app that does nothing at all:
what a server in Python takes for a request whoever answers it. Left out: TLS, and the service's relay and jobs.

`--rows` (90,000 unless said) are taken in over `--rounds`; numbers are read until they are exact. `--only` runs a half.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from secrets import token_hex
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg
import httpx
import psutil
import uvloop

from bench.beside_ingest import serve, serve_bare, serve_peers
from bench.load import Socket, drive, until_it_answers
from bench.mail import CAMPAIGNS, SECRET, Mail, wire
from chassis import migrate
from chassis.fields import new_id
from chassis.roles import scopes_of
from chassis.serving import collect_seldom
from chassis.testing import TestStack
from deploy.postgres import cluster, databases, roles
from gateway.identity.token.signing import Grant, access_token

POST, BATCH, SOCKETS, SECONDS = 1_000, 10_000, 16, 3.0
MEGABYTES = 250
BARS = {"acknowledged": 0.80, "counted": 0.60, "single": 2.8}


# --- the sides --------------------------------------------------------------------------------------------------------


def serve_metrics(stack: TestStack, port: int) -> None:
    from joserfc.jwk import KeySet

    from chassis.tokens import Verifier
    from services.metrics.app import app

    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    app.state.settings = stack.settings("metrics").model_copy(update={"database_pool": 8, "log_format": "json"})
    app.state.clock = lambda: datetime.now(UTC)
    app.state.background = False
    app.state.folding = True
    app.state.http = object()
    # Nobody is asked for its keys: by this clock they don't grow old, however long the run takes.
    app.state.verifier = Verifier("http://gateway", app.state.http, ticks=lambda: 0.0)
    app.state.verifier.trust(KeySet([stack.key]).as_dict(private=False))
    collect_seldom()  # as it is deployed
    serve(app, port)


LIMIT_COLUMNS = [
    "workspace_id", "id", "source_id", "type", "recipient_id", "message_id", "url", "tag_set_id", "campaign_id",
    "occurred_at", "received_at", "verdict", "reasons",
]  # fmt: skip


async def limit(admin: Any, workspace: UUID, rows: list[tuple[Any, ...]]) -> float:
    """Seconds for the rows as they would be stored, in batches."""
    began = time.perf_counter()
    for place in range(0, len(rows), BATCH):
        async with admin.transaction():
            await admin.copy_records_to_table(
                "staged", records=rows[place : place + BATCH], columns=LIMIT_COLUMNS, schema_name="bench"
            )
            await admin.execute(
                "INSERT INTO bench.stored SELECT * FROM bench.staged ON CONFLICT DO NOTHING; TRUNCATE bench.staged"
            )
    return time.perf_counter() - began


async def post(port: int, wires: Sequence[bytes], sockets: int = SOCKETS) -> float:
    """Seconds until the last of these is answered 200."""
    loop = asyncio.get_running_loop()
    opened = [(await loop.create_connection(Socket, "127.0.0.1", port))[1] for _ in range(sockets)]
    waiting = iter(wires)

    async def one(through: Any) -> None:
        for each in waiting:
            await through.ask(each)

    began = time.perf_counter()
    await asyncio.gather(*map(one, opened))
    took = time.perf_counter() - began
    for each in opened:
        each.transport.close()
    return took


async def counted(http: httpx.AsyncClient, kind: str, wanted: int) -> None:
    """Returns when a metric's total is what was acknowledged."""
    today = datetime.now(UTC).date()
    span = {"from": str(today - timedelta(days=800)), "to": str(today + timedelta(days=3)), "grain": "total"}
    for _ in range(3000):
        answer = (await http.get(f"/v1/metrics/{kind}/series", params=span)).json()
        if "series" not in answer:
            raise RuntimeError(f"asked for {kind}, the answer was {answer}")
        found = answer["series"][0]["points"][0]["value"]
        if found == wanted:
            return
        assert found < wanted, (found, wanted)
        await asyncio.sleep(0.02)
    raise RuntimeError(f"{kind} is {found}, not {wanted}")


def as_rows(workspace: UUID, source: UUID, bodies: Sequence[bytes], ids: dict[str, UUID]) -> list[tuple[Any, ...]]:
    """What is stored of these bodies, as a client that did everything beforehand would copy it."""
    from services.metrics.event.rules import event_id, micros, salt
    from services.metrics.source.platforms import PLATFORMS
    from services.metrics.source.platforms.platform import Delivery
    from services.metrics.source.rules import Labels, PlatformName

    now, found = datetime.now(UTC), []
    for body in bodies:
        for event in PLATFORMS[PlatformName.STANDARD].read(Delivery("POST", "", {}, body, now), Labels()).events:
            key = event_id(salt(source), event.key, micros(event.occurred_at))
            who = ids.setdefault(event.recipient or "", new_id())
            what = ids.setdefault(event.tags[0], new_id())
            found.append((
                workspace, UUID(bytes=key), source, event.type.value, who, event.message_id, event.url, what, what,
                event.occurred_at, now, event.verdict.value, list(event.reasons),
            ))  # fmt: skip
    return found


# --- the run ----------------------------------------------------------------------------------------------------------


@dataclass
class Used:
    """Seconds of processors, of the service and of Postgres: these hold where others use the machine as well."""

    service: psutil.Process
    postgres: psutil.Process

    def now(self) -> tuple[float, float]:
        mine = self.service.cpu_times()
        # Of the backends that ended, and of those that live.
        server = self.postgres.cpu_times()
        total = server.children_user + server.children_system
        for each in self.postgres.children():
            with suppress(psutil.NoSuchProcess):
                times = each.cpu_times()
                total += times.user + times.system
        return mine.user + mine.system, total


@dataclass(frozen=True)
class Asked:
    """What is measured."""

    rows: int
    rounds: int
    only: str | None


@dataclass
class Bench:
    """Both halves, over one service."""

    asked: Asked
    ports: dict[str, int]
    path: str
    source: UUID
    workspace: UUID
    admin: Any
    mops: httpx.AsyncClient
    used: Used
    most: int = 0

    def look(self) -> None:
        self.most = max(self.most, self.used.service.memory_info().rss)

    async def batches(self) -> dict[str, float]:
        """1,000 events a POST."""
        ids: dict[str, UUID] = {}
        ratios: dict[str, list[float]] = {"acknowledged": [], "counted": [], "naive": []}
        rates: dict[str, list[float]] = {"limit": [], "acknowledged": [], "counted": [], "naive": []}
        opens, total, spent = 0, 0, [0.0, 0.0, 0.0]
        piece = max(POST * 10, self.asked.rows // self.asked.rounds // POST * POST)
        for number in range(self.asked.rounds):
            mail = Mail(piece, number)
            left = piece
            seconds = {"limit": 0.0, "acknowledged": 0.0, "counted": 0.0}
            while left > 0:
                some = min(left, 100_000)
                left -= some
                bodies = mail.bodies(some // POST, POST)
                opens += sum(body.count(b'"type": "opened"') for body in bodies)
                rows = as_rows(self.workspace, self.source, bodies, ids)
                before = self.used.now()
                seconds["limit"] += await limit(self.admin, self.workspace, rows)
                spent[2] += self.used.now()[1] - before[1]
                del rows
                wires = [wire(self.path, body) for body in bodies]
                before = self.used.now()
                began = time.perf_counter()
                seconds["acknowledged"] += await post(self.ports["mops"], wires)
                await counted(self.mops, "email.opens", opens)
                seconds["counted"] += time.perf_counter() - began
                spent[:2] = [sum(each) for each in zip(spent, self.used.now(), (-before[0], -before[1]), strict=False)]
                self.look()
                total += some
                if self.asked.rows > 500_000:
                    print(f"{total:,} events, memory at most {self.most / 1e6:.0f} MB", flush=True)
            for side in seconds:
                rates[side].append(piece / seconds[side])
                if side != "limit":
                    ratios[side].append(seconds["limit"] / seconds[side])
            told = ", ".join(f"{side} {rates[side][-1]:,.0f}/s" for side in seconds)
            print(f"round {number + 1}: {told}", flush=True)
        await self.admin.execute(
            "CREATE TABLE public.naive (id bigserial PRIMARY KEY, type text, recipient text, message_id text,"
            " occurred_at timestamptz, url text, UNIQUE (message_id, type, occurred_at))"
        )
        some_bodies = Mail(3000, 99).bodies(3, POST)
        took = await post(self.ports["peers"], [wire("/naive", body) for body in some_bodies], 1)
        rates["naive"].append(3000 / took)
        ratios["naive"].append(rates["naive"][0] / statistics.median(rates["limit"]))
        service, postgres, least = (each / total * 1e6 for each in spent)
        print(
            f"{total:,} events; microseconds of processors an event, until counted: service {service:.1f},"
            f" its Postgres {postgres:.1f}, the limit's Postgres {least:.1f}"
        )
        print(", ".join(f"{name} {statistics.median(found):,.0f}/s" for name, found in rates.items()))
        return {name: statistics.median(found) for name, found in ratios.items()}

    async def singles(self) -> dict[str, float]:
        """One event a POST."""
        bodies = Mail(40_000, 77).bodies(40_000, 1)
        where = {"nothing": "/nothing", "bare": "/", "single": self.path}
        sides: dict[str, list[float]] = {name: [] for name in where}
        spent, asked = [0.0, 0.0], 0
        for number in range(self.asked.rounds):
            share = bodies[number :: self.asked.rounds]
            for side, path in where.items():
                before = self.used.now()
                port = self.ports["mops" if side == "single" else "peers" if side == "nothing" else "bare"]
                told = await drive(port, [wire(path, body) for body in share], 64, SECONDS)
                sides[side].append(told.per_second)
                if side == "single":
                    spent = [sum(each) for each in zip(spent, self.used.now(), (-before[0], -before[1]), strict=True)]
                    asked += told.requests
        self.look()
        print(", ".join(f"{name} {statistics.median(found):,.0f}/s" for name, found in sides.items()))
        service, postgres = (each / asked * 1e6 for each in spent)
        print(f"microseconds of processors a request: service {service:.0f}, its Postgres {postgres:.0f}")
        ratio = [a / b for a, b in zip(sides["single"], sides["nothing"], strict=True)]
        least = [a / b for a, b in zip(sides["bare"], sides["nothing"], strict=True)]
        return {"single": statistics.median(ratio), "bare": statistics.median(least)}


async def run(
    asked: Asked, stack: TestStack, workspace: UUID, token: str, ports: dict[str, int], used: Used
) -> dict[str, Any]:
    for port in ports.values():
        await until_it_answers(port)
    admin = await asyncpg.connect(stack.admin_dsn)
    await admin.execute("""
        CREATE SCHEMA bench;
        CREATE TABLE bench.stored (LIKE metrics.occurrence INCLUDING ALL);
        CREATE UNLOGGED TABLE bench.staged (LIKE metrics.occurrence);
    """)
    mops = httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{ports['mops']}", headers={"Authorization": f"Bearer {token}"}, timeout=60
    )
    made = await mops.post(
        "/v1/sources", json={"platform": "standard", "name": "Bench", "credentials": {"signing_secret": SECRET}}
    )
    path, source = urlsplit(made.json()["webhook_url"]).path, UUID(made.json()["id"])
    bench = Bench(asked, ports, path, source, workspace, admin, mops, used)
    found: dict[str, Any] = {}
    if asked.only != "single":
        found |= await bench.batches()
    if asked.only != "batch":
        found |= await bench.singles()
    await mops.aclose()
    await admin.close()
    print(f"metrics: memory at most {bench.most / 1e6:.0f} MB")
    return {**found, "memory_mb": bench.most / 1e6}


def main() -> None:
    parser = argparse.ArgumentParser(description="What taking events in costs.")
    parser.add_argument("--rows", type=int, default=90_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=("batch", "single"))
    asked = Asked(**vars(parser.parse_args()))
    forked = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory(prefix="mops-bench-") as folder, cluster.running(Path(folder) / "postgres") as up:
        name = f"mops_bench_{os.getpid()}"
        admin_dsn = asyncio.run(databases.create(up.admin_dsn, name))
        every = ("gateway", "goals", "assets", "budget", "metrics")
        stack = TestStack(
            admin_dsn=admin_dsn, name=name, home=Path(folder), clock=None,  # type: ignore[arg-type]
            passwords={part: token_hex(8) for part in every}, service_secrets={part: token_hex(8) for part in every},
        )  # fmt: skip
        workers: list[Any] = []
        try:
            workspace = new_id()

            async def prepare() -> None:
                await roles.ensure(stack.admin_dsn, stack.name, stack.passwords)
                await migrate.upgrade(stack.admin_dsn, "metrics", stack.name)
                connection = await asyncpg.connect(stack.admin_dsn, server_settings={"search_path": "metrics"})
                await connection.execute(
                    "INSERT INTO workspace (workspace_id, name, zone, currency)"
                    f" VALUES ('{workspace}', 'Bench', 'Europe/Berlin', 'EUR')"
                )
                for number in range(CAMPAIGNS):
                    await connection.execute(
                        "INSERT INTO campaign (workspace_id, id, slug, name) VALUES ($1, $2, $3, $3)",
                        workspace, new_id(), f"campaign-{number}",
                    )  # fmt: skip
                await connection.close()

            asyncio.run(prepare())
            grant = Grant(
                "client:bench", "bench", workspace, ["admin"], sorted(scopes_of(["admin"])), timedelta(hours=3)
            )
            token = access_token(grant, stack.key, "http://gateway", datetime.now(UTC))
            ports = {"mops": 28_471, "peers": 28_472, "bare": 28_473}
            workers = [
                forked.Process(target=serve_metrics, args=(stack, ports["mops"])),
                forked.Process(target=serve_peers, args=(stack.admin_dsn, ports["peers"])),
                forked.Process(target=serve_bare, args=(ports["bare"],)),
            ]
            for each in workers:
                each.start()
            postmaster = int((Path(folder) / "postgres" / "data" / "postmaster.pid").read_text().split("\n")[0])
            used = Used(psutil.Process(workers[0].pid), psutil.Process(postmaster))
            found = uvloop.run(run(asked, stack, workspace, token, ports, used))
            bars = {**BARS, "memory_mb": MEGABYTES}
            rounded = {key: round(value, 3) for key, value in found.items()}
            print(json.dumps({"bench": "ingest", "ratios": rounded, "bars": bars}))
        finally:
            for each in workers:
                each.terminate()
                each.join(10)
            asyncio.run(databases.drop(up.admin_dsn, name))
            asyncio.run(roles.drop(up.admin_dsn, name))


if __name__ == "__main__":
    main()
