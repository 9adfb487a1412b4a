"""Decides what a line's position costs whose ledger has a million entries, now and at past instants, beside a line
with a hundred and beside adding the entries up. One caller, over HTTP, with a token."""

import argparse
import json
import multiprocessing
import random
import statistics
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import uvloop

from bench.approvals import PORT, budget_alone, lines_of, serve_budget, token_of
from bench.load import Told, drive, fetch, request, until_it_answers
from chassis.testing import TestStack

LONG, SHORT = 1_000_000, 100
MONEY, EACH = 10**12, 100
BETWEEN = timedelta(seconds=10)
INSTANTS, ROUNDS, SECONDS = 200, 5, 1.0
NOW_MS, AS_OF_MS = 5.0, 20.0

# Entry by entry, what `lines_of` begins with an allotment: a reservation of one euro each.
FILL = """
    INSERT INTO entry (workspace_id, id, line_id, kind, allotted, reserved, committed, actual, recorded_by, recorded_at,
        reason, available, seq, after_allotted, after_transferred, after_reserved, after_committed, after_actual,
        after_fx, booked_on)
    SELECT $1, gen_random_uuid(), $2, 'reserve', 0, $4::bigint, 0, 0, 'ada', at, '', -$4::bigint, n + 1,
        $3::bigint, 0, $4::bigint * n, 0, 0, 0, at::date
    FROM generate_series(1, $7::bigint) AS n, LATERAL (SELECT $5::timestamptz + n * $6::interval AS at) AS moment
"""
SUM = "SELECT sum(reserved) FROM entry WHERE workspace_id = $1 AND line_id = $2 AND recorded_at <= $3"


async def fill(connection: Any, workspace: UUID, entries: int) -> tuple[UUID, datetime]:
    """A line with so many entries, and when its first one was; the last one is just over."""
    began = datetime.now(UTC).replace(microsecond=0) - entries * BETWEEN
    (line,) = await lines_of(connection, workspace, 1, MONEY)
    # The service's role may not, and that is as it should be.
    await connection.execute("UPDATE entry SET recorded_at = $2 WHERE line_id = $1", line, began)
    await connection.execute(FILL, workspace, line, MONEY, EACH, began, BETWEEN, entries - 1)
    await connection.execute(
        "UPDATE balance SET reserved = $3, entries = $4 WHERE workspace_id = $1 AND id = $2",
        workspace, line, EACH * (entries - 1), entries,
    )  # fmt: skip
    return line, began


async def reserved(wire: bytes) -> int:
    told = json.loads(await fetch(PORT, wire))["reserved"]["amount"]
    return round(float(told) * 100)


async def asked(wires: Sequence[bytes]) -> Told:
    return await drive(PORT, wires, 1, SECONDS)


async def measure(stack: TestStack, workspace: UUID, token: str) -> dict[str, float]:
    await until_it_answers(PORT)
    connection = await asyncpg.connect(stack.admin_dsn, server_settings={"search_path": "budget"})
    chance, headers = random.Random(7), {"Authorization": f"Bearer {token}"}
    wires: dict[str, list[bytes]] = {}
    for name, entries in (("", LONG), ("_of_few", SHORT)):
        began = time.perf_counter()
        line, first = await fill(connection, workspace, entries)
        print(f"{entries:,} entries in {time.perf_counter() - began:.0f} s", flush=True)
        path = f"http://127.0.0.1:{PORT}/v1/lines/{line}/position"
        places = [chance.randrange(entries) for _ in range(INSTANTS)]
        instants = [(first + place * BETWEEN + BETWEEN / 2).isoformat()[:-6] + "Z" for place in places]
        wires[f"now{name}"] = [request(path, headers)]
        wires[f"as_of{name}"] = [request(f"{path}?as_of={each}", headers) for each in instants]
        assert await reserved(wires[f"now{name}"][0]) == EACH * (entries - 1)
        for place, wire in zip(places, wires[f"as_of{name}"], strict=True):
            assert await reserved(wire) == EACH * place
        if entries == LONG:
            latest, whole = datetime.now(UTC), line
    await connection.execute("ANALYZE")
    began = time.perf_counter()
    assert await connection.fetchval(SUM, workspace, whole, latest) == EACH * (LONG - 1)
    adding = (time.perf_counter() - began) * 1000
    found: dict[str, list[float]] = {name: [] for name in wires}
    for turn in range(ROUNDS + 1):
        for name in wires:
            told = await asked(wires[name])
            if turn:  # the first one warms up
                found[name].append(told.median_ms)
    await connection.close()
    middle = {name: statistics.median(each) for name, each in found.items()}
    print("p50 in ms:", {name: round(each, 2) for name, each in middle.items()}, f"adding up: {adding:.0f}")
    return {
        "now_ms": middle["now"], "as_of_ms": middle["as_of"], "now_by_few": middle["now"] / middle["now_of_few"],
        "as_of_by_few": middle["as_of"] / middle["as_of_of_few"], "adding_up": adding / middle["as_of"],
    }  # fmt: skip


def main() -> int:
    argparse.ArgumentParser(prog="python -m bench.position", description=__doc__).parse_args()
    forked = multiprocessing.get_context("fork")
    with budget_alone() as (stack, workspace):
        worker = forked.Process(target=serve_budget, args=(stack, PORT, ""))
        worker.start()
        try:
            ratios = uvloop.run(measure(stack, workspace, token_of(stack, workspace, "bob")))
        finally:
            worker.terminate()
            worker.join(10)
    rounded = {name: round(value, 3) for name, value in ratios.items()}
    bars = {"now_ms": NOW_MS, "as_of_ms": AS_OF_MS}
    print(json.dumps({"bench": "position", "ratios": rounded, "bars": bars}))
    return int(any(ratios[name] > bar for name, bar in bars.items()))


if __name__ == "__main__":
    sys.exit(main())
