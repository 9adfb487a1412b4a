"""Decides whether no bad input breaks a part: thousands of generated requests to each service and to the graph, and how
many of each operation's are granted. `make bench-conformance`; CASES=500 makes it shorter."""

import json
import os
import sys
import tempfile
from pathlib import Path

from chassis.stack import parts
from tests.contract.generated import Tally, lines
from tests.stack.conftest import started
from tests.stack.test_conformance import NEVER_GRANTED, filled

CASES = int(os.environ.get("CASES", "10000"))
BAR = 0.3


def main() -> int:
    tallies: dict[str, Tally] = {}
    with (
        tempfile.TemporaryDirectory(prefix="mops") as folder,
        started(Path(folder) / "home") as stack,
        filled(stack) as target,
    ):
        for part in parts():
            asked = target.graph() if part == "gateway" else target.service(part)
            name = "graph" if part == "gateway" else part
            tallies[name] = asked.go(CASES)
            print(f"{name}: {sum(tallies[name].asked.values())} cases", *lines(tallies[name]), sep="\n", flush=True)
    broken = [each for tally in tallies.values() for each in tally.broken]
    print(*broken[:50], sep="\n")
    least = {
        name: min(share for operation, share in tally.shares.items() if operation not in NEVER_GRANTED)
        for name, tally in tallies.items()
    }
    figures = {
        "bench": "conformance",
        "ratios": {
            "cases": {name: sum(tally.asked.values()) for name, tally in tallies.items()},
            "broken": len(broken),
            "least_granted": least,
        },
        "bars": {"broken": 0, "least_granted": BAR, "cases": CASES},
    }
    print(json.dumps(figures))
    return int(bool(broken) or min(least.values()) < BAR)


if __name__ == "__main__":
    sys.exit(main())
