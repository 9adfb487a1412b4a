"""Decides what the first look at a document costs: 1,000 shapes that the gateway has never seen beside a known one.

One process of the gateway, as `make up` serves it, over services that answer at once. Every shape asks for other fields
of a campaign, its goals, budget and series, in documents of about the same length; none of them comes twice. The stages
are timed alone, in this process.
"""

import gc
import json
import multiprocessing
import random
import statistics
import time
from collections.abc import Iterator
from typing import Any

import psutil
import uvloop
from graphql import OperationDefinitionNode

from bench.alone import bearer, migrated, serve_gateway
from bench.load import drive, fetch, post, until_it_answers
from bench.sampled import serve_samples
from gateway.derive.contract import load
from gateway.derive.graph import build
from gateway.edges import EDGES, KEYS
from gateway.execution.compile import Compiler
from gateway.execution.documents import Documents
from gateway.execution.selection import Selections
from gateway.graphql import OPENAPI

ROUNDS, SECONDS, SOCKETS, SHAPES = 5, 1.0, 4, 1_000
PORT, SERVICES = 28_486, 28_487

CAMPAIGN = ["id", "name", "slug", "state", "brief", "owner", "channels", "territories", "createdAt", "version"]
GOAL = [
    "id",
    "title",
    "state",
    "kind",
    "owner",
    "relevance",
    "targetValue",
    "baselineValue",
    "needsReview",
    "createdAt",
]
POSITION = ["allotted", "committed", "actual", "available"]
POINT = ["start", "value", "numerator", "denominator", "completeness"]


def shapes(seed: int) -> Iterator[str]:
    """Documents of which no two ask alike."""
    chance = random.Random(seed)

    def some(names: list[str], count: int, inside: str = "") -> str:
        return " ".join(f"{chance.choice('abcdefgh')}{at}: {each}{inside}"
                        for at, each in enumerate(chance.sample(names, count)))  # fmt: skip

    for number in range(SHAPES):
        yield f"""query Shape{seed}_{number} {{ campaign(slug: "campaign-1") {{ {some(CAMPAIGN, 4)}
          goals(first: 3) {{ nodes {{ {some(GOAL, 4)} metric {{ key }} }} }}
          budget {{ {some(POSITION, 3, " { amount currency }")} }}
          series(metric: "email.ctr", grain: MONTH, from: "2026-01-01", to: "2027-01-01") {{
            points {{ {some(POINT, 4)} }} }} }} }}"""


def stages() -> dict[str, float]:
    """CPU ms of what is done with a new document before anything is read: medians."""
    schema = build(load(OPENAPI), EDGES, KEYS)._schema
    documents, taken = Documents(schema), []
    for text in shapes(0):
        began = time.process_time()
        document, _ = documents.read(text, {})
        held = time.process_time()
        (operation,) = document.ast.definitions
        assert isinstance(operation, OperationDefinitionNode)
        Compiler(schema, Selections(document.ast, operation, {})).plan()
        taken.append((held - began, time.process_time() - held))
    parsed, planned = (statistics.median(each) * 1000 for each in zip(*taken, strict=True))
    return {"parse, limits, validate": parsed, "plan": planned}


async def measure(process: psutil.Process, headers: dict[str, str]) -> dict[str, list[tuple[float, float, float]]]:
    """Of known and new documents, in each round: CPU ms a request, p50 and p99 in ms."""

    def wire(text: str) -> bytes:
        return post(f"http://127.0.0.1:{PORT}/graphql", headers, json.dumps({"query": text}).encode())

    known = [wire(next(shapes(0)))]
    assert b'"errors"' not in await fetch(PORT, known[0])
    found: dict[str, list[tuple[float, float, float]]] = {"known": [], "new": []}
    for number in range(1, ROUNDS + 1):
        for which, wires in {"known": known, "new": [wire(text) for text in shapes(number)]}.items():
            before = process.cpu_times()
            told = await drive(PORT, wires, SOCKETS, SECONDS)
            after = process.cpu_times()
            assert which == "known" or told.requests <= SHAPES, "shapes came twice: make more of them"
            spent = after.user + after.system - before.user - before.system
            found[which].append((spent * 1000 / told.requests, told.median_ms, told.percentile_ms(99)))
    return found


def main() -> None:
    alone = stages()
    forked = multiprocessing.get_context("fork")
    gc.collect()
    gc.freeze()
    with migrated() as stack:
        gateway = forked.Process(target=serve_gateway, args=(stack, PORT, SERVICES))
        services = forked.Process(target=serve_samples, args=(SERVICES,))
        try:
            gateway.start()
            services.start()

            async def run() -> Any:
                for port in (PORT, SERVICES):
                    await until_it_answers(port)
                return await measure(psutil.Process(gateway.pid), bearer(stack))

            found = uvloop.run(run())
        finally:
            for each in (gateway, services):
                each.terminate()
                each.join(10)
    print(f"{ROUNDS} rounds of {SECONDS} s, {SOCKETS} sockets; medians\n")
    print(f"{'':24}{'CPU ms':>10}{'p50 ms':>10}{'p99 ms':>10}")
    for which, rounds in found.items():
        print(f"{which:24}" + "".join(f"{statistics.median(each):10.2f}" for each in zip(*rounds, strict=True)))
    for stage, taken in alone.items():
        print(f"{stage:24}{taken:10.2f}")
    ratio = statistics.median(new[0] / old[0] for new, old in zip(found["new"], found["known"], strict=True))
    print("\n" + json.dumps({"bench": "graph-latency", "ratios": {"new/known": round(ratio, 2)}, "bars": {}}))


if __name__ == "__main__":
    main()
