"""Decides what approvals cost beside a bare conditional UPDATE and INSERT by asyncpg, with the same contention: on one
hot line, and over a thousand; and that exactly as many go through as there is money for.

Both keep their rows on disk before they answer. Left out of the bare side: HTTP, tokens, who may decide, the request's
own row and its decision, events, the audit. Lines that nobody waits for show what that costs, and have no bar; on a hot
line both sides wait for its lock. `python -m bench.approvals --bug no-lock` shows that the run can fail.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import random
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import uvicorn
import uvloop

from bench.load import Socket, until_it_answers
from chassis import migrate
from chassis.db import system_clock
from chassis.fields import new_id
from chassis.roles import scopes_of
from chassis.serving import collect_seldom, served
from chassis.testing import TestStack
from deploy.postgres import cluster, databases, roles
from gateway.identity.token.signing import Grant, access_token

BAR = 0.5
LINES, SOCKETS, POOL = 1_000, 64, 8
ROUNDS, EACH = 5, 600
PORT = 28_471


def no_lock() -> None:
    """Looks whether it fits, each for itself, and then takes it."""
    from sqlalchemy import text

    from services.budget.ledger import store
    from services.budget.request import together

    store._LOCK = text(store._LOCK.text.replace("FOR UPDATE", ""))
    together.MOST = 1
    drain = together.Together._drain

    async def each_alone(self: Any, workspace_id: UUID, lane: Any) -> None:
        while lane:
            await asyncio.gather(*(self._settle(workspace_id, [lane.popleft()]) for _ in range(min(POOL, len(lane)))))
        await drain(self, workspace_id, lane)

    together.Together._drain = each_alone  # type: ignore[method-assign]


BUGS = {"no-lock": no_lock}


def serve_budget(stack: TestStack, port: int, bug: str) -> None:
    from joserfc.jwk import KeySet

    from chassis.tokens import Verifier
    from services.budget.app import app

    if bug:
        BUGS[bug]()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    app.state.settings = stack.settings("budget").model_copy(update={"database_pool": POOL, "log_format": "json"})
    app.state.background = False
    # A process that this one is forked off may have had others, and what money is worth goes by the day.
    app.state.clock, app.state.tracing = system_clock, None
    app.state.http = object()
    app.state.verifier = Verifier("http://gateway", app.state.http)
    app.state.verifier.trust(KeySet([stack.key]).as_dict(private=False))
    collect_seldom()
    uvicorn.Server(served(app, host="127.0.0.1", port=port)).run()


async def copy(connection: Any, table: str, columns: str, rows: Sequence[tuple[Any, ...]]) -> None:
    await connection.copy_records_to_table(table, records=rows, columns=columns.split())


async def lines_of(connection: Any, workspace: UUID, count: int, money: int) -> list[UUID]:
    now, day = datetime.now(UTC), datetime.now(UTC).date()
    ids = [new_id() for _ in range(count)]
    await copy(
        connection, "line",
        "workspace_id id name department period_start period_end currency policy created_at low_percent",
        [(workspace, each, "Line", "content", day, day + timedelta(days=365), "EUR", "stop", now, 0) for each in ids],
    )  # fmt: skip
    await copy(
        connection, "balance",
        "workspace_id id allotted reserved committed actual changed_at entries stops low_percent",
        [(workspace, each, money, 0, 0, 0, now, 1, True, 0) for each in ids],
    )  # fmt: skip
    await copy(
        connection, "entry",
        "workspace_id id line_id kind allotted reserved committed actual recorded_by recorded_at reason available seq"
        " after_allotted after_transferred after_reserved after_committed after_actual after_fx",
        [(workspace, new_id(), each, "allot", money, 0, 0, 0, "bench", now, "", money, 1, money, 0, 0, 0, 0, 0)
         for each in ids],
    )  # fmt: skip
    return ids


async def requests_on(connection: Any, workspace: UUID, lines: Sequence[UUID], count: int) -> list[UUID]:
    """Submitted requests of one euro each, spread over the lines."""
    now, chance = datetime.now(UTC), random.Random(7)
    made = [(new_id(), chance.choice(lines)) for _ in range(count)]
    await copy(
        connection, "request",
        "workspace_id id title line_id currency amount worth department itemised state requested_by created_at"
        " submitted_at submitted_by waiting_since layers_done received invoiced version",
        [(workspace, each, "Asked", line, "EUR", 100, 100, "content", False, "submitted", "ada", now, now, "ada", now,
          0, 0, 0, 1) for each, line in made],
    )  # fmt: skip
    await copy(
        connection, "request_item", "workspace_id id request_id line_id amount description",
        [(workspace, new_id(), each, line, 100, "") for each, line in made],
    )  # fmt: skip
    return [each for each, _ in made]


async def through_the_service(token: str, requests: Sequence[UUID]) -> tuple[float, dict[int, int]]:
    """Approvals a second, and how they were answered."""
    head = f"HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\nContent-Length: 0\r\n\r\n"
    wires = iter([f"POST /v1/requests/{each}/approve {head}".encode() for each in requests])
    answers: dict[int, int] = {}
    loop = asyncio.get_running_loop()
    opened = [(await loop.create_connection(Socket, "127.0.0.1", PORT))[1] for _ in range(SOCKETS)]

    async def one(socket: Any) -> None:
        for wire in wires:
            try:
                await socket.ask(wire)
                status = 200
            except RuntimeError as problem:
                status = int(str(problem)[9:12])
            answers[status] = answers.get(status, 0) + 1

    began = time.perf_counter()
    await asyncio.gather(*(one(each) for each in opened))
    seconds = time.perf_counter() - began
    for each in opened:
        each.transport.close()
    return len(requests) / seconds, answers


async def bare(pool: Any, workspace: UUID, lines: Sequence[UUID], count: int) -> float:
    """The same number of reservations by as many callers, over as many connections."""
    chance = random.Random(7)
    wanted = iter([chance.choice(lines) for _ in range(count)])
    now, day = datetime.now(UTC), datetime.now(UTC).date()

    async def one() -> None:
        for line in wanted:
            async with pool.acquire() as connection, connection.transaction():
                await connection.execute("SELECT set_config('mops.workspace', $1, true)", str(workspace))
                row = await connection.fetchrow(
                    """UPDATE balance SET reserved = reserved + $3, entries = entries + 1 WHERE workspace_id = $1
                       AND id = $2 AND allotted + transferred - reserved - committed - actual >= $3 RETURNING *""",
                    workspace, line, 100,
                )  # fmt: skip
                await connection.execute(
                    """INSERT INTO entry (workspace_id, id, line_id, kind, allotted, reserved, committed, actual,
                           recorded_by, recorded_at, reason, available, seq, after_allotted, after_transferred,
                           after_reserved, after_committed, after_actual, after_fx, booked_on)
                       VALUES ($1, $2, $3, 'reserve', 0, $4, 0, 0, 'ada', $5, '', -$4::bigint, $6, $7, 0, $8, 0,
                           0, 0, $9)""",
                    workspace, new_id(), line, 100, now, row["entries"], row["allotted"], row["reserved"], day,
                )  # fmt: skip

    began = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(SOCKETS)))
    return count / (time.perf_counter() - began)


async def exact(connection: Any, workspace: UUID, token: str) -> bool:
    """A hot line that has money for half of what is asked: half go through, none of it is below zero."""
    (line,) = await lines_of(connection, workspace, 1, 100 * 300)
    asked = await requests_on(connection, workspace, [line], 600)
    _, answers = await through_the_service(token, asked)
    row = await connection.fetchrow("SELECT * FROM balance WHERE workspace_id = $1 AND id = $2", workspace, line)
    entries = await connection.fetchval("SELECT sum(reserved) FROM entry WHERE line_id = $1", line)
    print(f"300 euros, 600 approvals of one at once: {answers}, {row['reserved'] / 100:.2f} reserved", flush=True)
    return answers == {200: 300, 409: 300} and row["reserved"] == entries == 30_000


async def measure(stack: TestStack, workspace: UUID, token: str, rounds: int) -> tuple[dict[str, float], bool]:
    await until_it_answers(PORT)
    connection = await asyncpg.connect(stack.admin_dsn, server_settings={"search_path": "budget"})
    dsn = stack.settings("budget").database_url.get_secret_value()
    ratios = {}
    async with asyncpg.create_pool(dsn, min_size=POOL, max_size=POOL, server_settings={"jit": "off"}) as pool:
        sound = await exact(connection, workspace, token)
        for name, count in (("one_line", 1), ("thousand_lines", LINES)) if rounds else ():
            lines = await lines_of(connection, workspace, count, 10**12)
            found: dict[str, list[float]] = {"mops": [], "bare": []}
            for turn in range(rounds + 1):
                asked = await requests_on(connection, workspace, lines, EACH)
                ours, answers = await through_the_service(token, asked)
                theirs = await bare(pool, workspace, lines, EACH)
                sound = sound and answers == {200: EACH}
                if turn:  # the first one warms up
                    found["mops"].append(ours)
                    found["bare"].append(theirs)
            ours, theirs = (statistics.median(found[side]) for side in ("mops", "bare"))
            ratios[name] = ours / theirs
            print(f"{name}: {ours:.0f} approvals a second, bare {theirs:.0f}: {ratios[name]:.2f}", flush=True)
    await connection.close()
    return ratios, sound


@contextmanager
def budget_alone(durable: bool = True) -> Iterator[tuple[TestStack, UUID]]:
    """A database with the budget's schema, and a workspace in it that reports in euros."""
    with (
        tempfile.TemporaryDirectory(prefix="mops-bench-") as folder,
        cluster.running(Path(folder) / "postgres", durable=durable) as up,
    ):
        name = f"mops_bench_{secrets.token_hex(3)}"
        admin = asyncio.run(databases.create(up.admin_dsn, name))
        stack = TestStack(
            admin_dsn=admin, name=name, home=Path(folder), clock=None,  # type: ignore[arg-type]
            passwords={part: secrets.token_hex(8) for part in parts_of()},
            service_secrets={part: secrets.token_hex(16) for part in parts_of()},
        )  # fmt: skip
        workspace = new_id()

        async def prepare() -> None:
            await roles.ensure(admin, name, stack.passwords)
            await migrate.upgrade(admin, "budget", name)
            connection = await asyncpg.connect(admin, server_settings={"search_path": "budget"})
            await connection.execute(
                "INSERT INTO workspace (workspace_id, name, zone, currency) VALUES ($1, 'B', 'Europe/Berlin', 'EUR')",
                workspace,
            )
            await connection.close()

        asyncio.run(prepare())
        try:
            yield stack, workspace
        finally:
            asyncio.run(databases.drop(up.admin_dsn, name))
            asyncio.run(roles.drop(up.admin_dsn, name))


def token_of(stack: TestStack, workspace: UUID, name: str) -> str:
    grant = Grant(name, name, workspace, ["manager"], sorted(scopes_of(["manager"])), timedelta(hours=1))
    return access_token(grant, stack.key, "http://gateway", datetime.now(UTC))


def main() -> int:
    arguments = argparse.ArgumentParser(prog="python -m bench.approvals")
    arguments.add_argument("--bug", choices=list(BUGS), default="", help="seed a bug; fails unless the run goes red")
    arguments.add_argument("--rounds", type=int, default=ROUNDS)
    given = arguments.parse_args()
    forked = multiprocessing.get_context("fork")
    with budget_alone() as (stack, workspace):
        worker = forked.Process(target=serve_budget, args=(stack, PORT, given.bug))
        worker.start()
        try:
            token = token_of(stack, workspace, "bob")
            ratios, sound = uvloop.run(measure(stack, workspace, token, 0 if given.bug else given.rounds))
        finally:
            worker.terminate()
            worker.join(10)
    if given.bug:
        print(f"seeded bug {given.bug}: {'red, as it should be' if not sound else 'NOT FOUND'}")
        return int(sound)
    found, bars = {**ratios, "exact": float(sound)}, {"one_line": BAR, "exact": 1.0}
    print(json.dumps({"bench": "approvals", "ratios": found, "bars": bars}))
    return 0 if all(found[name] >= bar for name, bar in bars.items()) else 1


def parts_of() -> Iterator[str]:
    from chassis.stack import parts

    return iter(parts())


if __name__ == "__main__":
    sys.exit(main())
