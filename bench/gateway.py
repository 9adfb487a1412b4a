"""Decides what a compiled query costs the gateway's process beside graphql-core's way through the same fields.

One process of the gateway each, as `make up` serves it: token, limits, trace context, log lines and figures are in it,
and calls of services too. These answer at once, with rows of every field that their contracts promise. Left out: the
services' own time, TLS, and the first look at a document.
"""

import gc
import json
import multiprocessing
import statistics
from typing import Any

import psutil
import uvloop

from bench.alone import bearer, migrated, serve_gateway
from bench.load import drive, fetch, post, until_it_answers
from bench.sampled import serve_samples
from gateway.execution.execute import Executor

ROUNDS, SECONDS, SOCKETS = 5, 1.0, 4
PORTS = {"plan": 28_471, "fields": 28_472}
SERVICES = 28_473
BARS = {"big": 5.0, "small": 1.5}


def queries(year: int) -> dict[str, str]:
    """Fifty campaigns, or one, with what hangs on them and the twelve months of a year."""
    selected = f"""id name slug state
      goals(first: 3) {{ nodes {{ id title state metric {{ key }} targetValue }} }}
      budget {{ allotted {{ amount currency }} committed {{ amount }} actual {{ amount }} available {{ amount }} }}
      series(metric: "email.ctr", grain: MONTH, from: "{year}-01-01", to: "{year + 1}-01-01") {{
        points {{ start value numerator denominator }} }}"""
    return {
        "big": f"{{ campaigns(first: 50) {{ nodes {{ {selected} }} }} }}",
        "small": f'{{ campaign(slug: "campaign-1") {{ {selected} }} }}',
    }


QUERIES = queries(2026)


def by_fields_alone() -> None:
    """From here on no query has a plan."""

    async def none(*_: Any) -> None:
        return None

    Executor.by_plan = none  # type: ignore[method-assign, assignment]


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
    with migrated() as stack:
        workers = {
            "plan": forked.Process(target=serve_gateway, args=(stack, PORTS["plan"], SERVICES)),
            "fields": forked.Process(target=serve_gateway, args=(stack, PORTS["fields"], SERVICES, by_fields_alone)),
            "services": forked.Process(target=serve_samples, args=(SERVICES,)),
        }
        try:
            for each in workers.values():
                each.start()

            async def run() -> Any:
                for port in (*PORTS.values(), SERVICES):
                    await until_it_answers(port)
                return await measure({how: workers[how].pid or 0 for how in PORTS}, bearer(stack))

            tell(uvloop.run(run()))
        finally:
            for each in workers.values():
                each.terminate()
                each.join(10)


if __name__ == "__main__":
    main()
