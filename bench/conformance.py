"""Decides whether no bad input breaks a part: thousands of generated requests to each service and to the graph, and how
many of each operation's are granted. `make bench-conformance`; CASES=500 makes it shorter, PARTS="goals" narrower."""

import json
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path

from graphql import build_schema

from chassis.stack import parts
from deploy.postgres import cluster
from tests.contract.generated_graph import fields
from tests.contract.operations import operations
from tests.contract.tally import Tally, lines, share
from tests.stack.conftest import Running, database_of_its_own, started_over
from tests.stack.target import Target, filled

CASES = int(os.environ.get("CASES", "10000"))
WORKERS = int(os.environ.get("WORKERS") or os.cpu_count() or 1)
BAR = 0.3
SAID_EVERY = 5  # operations
GRAPH = "graph"
SDL = Path("gateway/schema.graphql")
EVERY = [GRAPH, *(part for part in parts() if part != "gateway")]

# Of a worker: its workspace, for as long as it lives.
opened = ExitStack()
target: Target


def open_target(home: Path, port: int, admin_dsn: str) -> None:
    """A worker has a workspace to itself, so that none ends what another goes on with."""
    global target
    target = opened.enter_context(filled(Running(home, port, opened), admin_dsn))


def cases(part: str, name: str, count: int) -> Tally:
    """So many cases of one operation."""
    asked = target.graph() if part == GRAPH else target.service(part)
    target.renew()
    asked.tally = Tally()
    try:
        asked.cases_of(name, count)
    except Exception:
        # Words alone: not every library's exceptions come through to another process.
        raise RuntimeError(f"{part} {name}\n{traceback.format_exc()}") from None
    return asked.tally


def names(part: str) -> list[str]:
    return fields(build_schema(SDL.read_text())) if part == GRAPH else [each.id for each in operations(part)]


def run(stack: Running, admin_dsn: str, asked: list[str]) -> Iterator[tuple[str, Tally]]:
    """Each part's tally as soon as it is whole; one worker to a core."""
    spawn = get_context("spawn")
    given = (stack.home, stack.port, admin_dsn)
    pool = ProcessPoolExecutor(WORKERS, spawn, open_target, given)
    try:
        counts = {part: share(CASES, len(names(part))) for part in asked}
        work = {pool.submit(cases, part, name, counts[part]): part for part in asked for name in names(part)}
        left = {part: len(names(part)) for part in asked}
        tallies = {part: Tally() for part in asked}
        for done in as_completed(work):
            part = work[done]
            tallies[part].add(done.result())
            left[part] -= 1
            if left[part] % SAID_EVERY == 0:
                print(f"{part}: {tallies[part].asked.total()} cases, {left[part]} operations to go", flush=True)
            if left[part] == 0:
                yield part, tallies[part]
    finally:
        # What failed or was ended waits for nothing that isn't begun.
        pool.shutdown(cancel_futures=True)


def main() -> int:
    # Like Ctrl-C: the stack is stopped on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    asked = os.environ.get("PARTS", "").split() or EVERY
    began = time.monotonic()
    tallies: dict[str, Tally] = {}
    with tempfile.TemporaryDirectory(prefix="mops") as folder:
        home = Path(folder) / "home"
        with (
            cluster.running(Path(folder) / "postgres") as server,
            database_of_its_own(home, server.admin_dsn) as database,
            started_over(home, database) as stack,
        ):
            for part, tally in run(stack, database["DATABASE_URL"], asked):
                tallies[part] = tally
                passed = time.monotonic() - began
                print(f"{part}: {tally.asked.total()} cases, {passed:.0f} s", *lines(tally), sep="\n", flush=True)
    broken = [each for tally in tallies.values() for each in tally.broken]
    print(*broken[:50], sep="\n")
    least = {part: min(tally.shares.values()) for part, tally in tallies.items()}
    figures = {
        "bench": "conformance",
        "ratios": {
            "cases": {part: tally.asked.total() for part, tally in tallies.items()},
            "with_nul": {part: tally.nul for part, tally in tallies.items()},
            "broken": len(broken),
            "least_granted": least,
        },
        "bars": {"cases": CASES, "broken": 0, "least_granted": BAR},
    }
    print(json.dumps(figures))
    fewest = min(tally.asked.total() for tally in tallies.values())
    return int(bool(broken) or min(least.values()) < BAR or fewest < CASES)


if __name__ == "__main__":
    sys.exit(main())
