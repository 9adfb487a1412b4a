"""Decides what the gateway costs beside Hive Gateway and Tailcall: each over the same services, for the same data; and
what the whole stack costs beside PostGraphile, as `whole` has it.

One process of each, in turns. The services are one process that answers at once, for all of them; in which shapes,
says `shapes`. Hive is at its best: entities merged, queries compiled (--jit), node 22. Ours is as `make up` serves it,
and alone in checking a token, limits and an allowance, and in keeping figures. Left out: the services' own time, TLS,
the first looks at a document, and peers that can't be had on this machine, which it says.
"""

import argparse
import json
import os
import re
import statistics
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

import psutil
import uvloop

from bench.gateway import QUERIES
from bench.load import drive, fetch, post
from bench.peers import whole
from bench.peers.installed import Absent
from bench.peers.started import PORTS, running
from bench.sampled import CAMPAIGNS

ROUNDS, SECONDS, WARM_SECONDS, SOCKETS = 5, 1.0, 4.0, 4
BARS = {"big hive": 8.0, "big tailcall": 2.5, "small hive": 3.0, "whole postgraphile": 1.0}

GOAL = "id title state metric { key } target_value"
MONEY = "allotted { amount currency } committed { amount } actual { amount } available { amount }"
SELECTED = """id name slug state %s budget { %s } series { points { start value numerator denominator } }"""
PEERS_QUERIES = {
    "hive": SELECTED % (f"goals {{ {GOAL} }}", MONEY),
    "tailcall": SELECTED % (f"goals {{ items {{ {GOAL} }} }}", f"position {{ {MONEY} }}"),
}


@dataclass(frozen=True)
class Figures:
    """What one gateway gave in one round."""

    cpu_ms: float
    per_second: float
    p50_ms: float
    p99_ms: float
    mb: float


def question(who: str, size: str) -> bytes:
    if who == "ours":
        return json.dumps({"query": QUERIES[size]}).encode()
    query = f"query($limit: Int!) {{ campaigns(limit: $limit) {{ items {{ {PEERS_QUERIES[who]} }} }} }}"
    return json.dumps({"query": query, "variables": {"limit": CAMPAIGNS if size == "big" else 1}}).encode()


def same(content: bytes) -> list[Any]:
    """The campaigns of an answer, in one spelling: names and values of enumerations as REST has them, and no pages."""
    answer = json.loads(content)
    assert "errors" not in answer, content[:500]

    def plain(value: Any) -> Any:
        if isinstance(value, list):
            return [plain(each) for each in value]
        if not isinstance(value, dict):
            return value
        if value.keys() <= {"items", "nodes", "position"}:
            return plain(*value.values())
        named = {re.sub("[A-Z]", lambda found: f"_{found[0].lower()}", name): each for name, each in value.items()}
        return {name: each.lower() if name == "state" else plain(each) for name, each in sorted(named.items())}

    found = plain(answer["data"].get("campaigns") or answer["data"]["campaign"])
    return found if isinstance(found, list) else [found]


def spent(process: psutil.Process) -> float:
    """Seconds of CPU of a process and all below it."""
    times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
    return sum(each.user + each.system for each in times)


async def measure(processes: dict[str, psutil.Process], headers: dict[str, str]) -> dict[str, dict[str, list[Figures]]]:
    """Per query and gateway: its figures in each round."""
    found: dict[str, dict[str, list[Figures]]] = {}
    for size in QUERIES:
        headed = {"Accept": "application/json", **headers}
        wires = {who: post(f"http://127.0.0.1:{PORTS[who]}/graphql", headed, question(who, size)) for who in processes}
        answers = {who: await fetch(PORTS[who], wire) for who, wire in wires.items()}
        for who, answer in answers.items():
            assert same(answer) == same(answers["ours"]), f"{size}: {who} answers otherwise than ours"
            # Compilers of a running process, V8's above all, are at work in its first seconds.
            await drive(PORTS[who], [wires[who]], SOCKETS, WARM_SECONDS if who == "hive" else 1.0)
        print(f"{size}: {', '.join(f'{who} {len(answer)} bytes' for who, answer in answers.items())}")
        found[size] = {who: [] for who in processes}
        for number in range(ROUNDS):
            for who in sorted(processes, reverse=number % 2 == 1):
                before = spent(processes[who])
                told = await drive(PORTS[who], [wires[who]], SOCKETS, SECONDS)
                cpu_ms = (spent(processes[who]) - before) * 1000 / told.requests
                several = (processes[who], *processes[who].children(recursive=True))
                mb = sum(each.memory_full_info().pss for each in several) / 1e6
                found[size][who].append(Figures(cpu_ms, told.per_second, told.median_ms, told.percentile_ms(99), mb))
    return found


def tell(found: dict[str, dict[str, list[Figures]]]) -> dict[str, float]:
    """Each peer's CPU as a multiple of ours."""
    print(f"\n{ROUNDS} rounds of {SECONDS} s, {SOCKETS} sockets; medians\n")
    print(f"{'':16}" + "".join(f"{each.name:>12}" for each in fields(Figures)) + f"{'CPU/ours':>12}")
    ratios = {}
    for size, gateways in found.items():
        for who, rounds in gateways.items():
            ratio = statistics.median(
                theirs.cpu_ms / ours.cpu_ms for theirs, ours in zip(rounds, gateways["ours"], strict=True)
            )
            if who != "ours":
                ratios[f"{size} {who}"] = round(ratio, 2)
            medians = map(statistics.median, zip(*map(astuple, rounds), strict=True))
            print(f"{size:6}{who:10}" + "".join(f"{each:12.2f}" for each in (*medians, ratio)))
    return ratios


def tell_whole(found: dict[str, list[dict[str, float]]]) -> tuple[float, dict[str, dict[str, float]]]:
    """PostGraphile's CPU as a multiple of our whole stack's, and each one's ms for a big query by process."""
    spent = {
        who: {name: round(statistics.median(each[name] for each in rounds), 2) for name in rounds[0]}
        for who, rounds in found.items()
    }
    print(f"\nthe whole of each, CPU ms for a big query; {whole.ROUNDS} rounds of {whole.SECONDS} s; medians\n")
    for who, processes in spent.items():
        print(
            f"{who:14}{sum(processes.values()):8.2f}   " + "  ".join(f"{name} {ms}" for name, ms in processes.items())
        )
    pairs = zip(found["postgraphile"], found["ours"], strict=True)
    return round(statistics.median(sum(them.values()) / sum(us.values()) for them, us in pairs), 2), spent


def main() -> None:
    asked = argparse.ArgumentParser(prog="python -m bench.peers", description=(__doc__ or "").partition("\n")[0])
    place = Path(os.environ.get("MOPS_HOME", ".mops")) / "peers"
    asked.add_argument("folder", nargs="?", type=Path, default=place, help="where they are installed once (1 GB)")
    asked.add_argument("--whole", action="store_true", help="the whole stack beside PostGraphile alone")
    given = asked.parse_args()
    folder = given.folder.resolve()
    ratios: dict[str, float] = {}
    spent: dict[str, dict[str, float]] = {}
    if not given.whole:
        with running(folder) as (processes, headers):
            ratios = tell(uvloop.run(measure(processes, headers)))
    try:
        with whole.both(folder) as sides:
            ratios["whole postgraphile"], spent = tell_whole(uvloop.run(whole.measure(*sides)))
    except Absent as problem:
        print(f"postgraphile is left out: {problem}")
    print("\n" + json.dumps({"bench": "peers", "ratios": ratios, "bars": BARS, "whole_cpu_ms": spent}))


if __name__ == "__main__":
    main()
