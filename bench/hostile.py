"""Decides what refusing a hostile query costs: CPU of all that happens before execution, by family, beside a bound.

Left out: HTTP, and the token, which come before.
"""

import json
import time

from gateway.derive.contract import load
from gateway.derive.graph import build
from gateway.edges import EDGES, KEYS
from gateway.execution.documents import Documents, Refusal
from gateway.graphql import OPENAPI
from tests.gateway.hostile import HOSTILE

MS = 50
ROUNDS = 7


def spent(documents: Documents, query: str) -> tuple[float, str]:
    """Milliseconds until it was refused, and by which code."""
    documents._known.clear()
    began = time.process_time()
    try:
        documents.read(query, {})
    except Refusal as refusal:
        return (time.process_time() - began) * 1000, refusal.code
    raise AssertionError(f"not refused: {query[:100]}")


def main() -> None:
    documents = Documents(build(load(OPENAPI), EDGES, KEYS)._schema, explains=True)
    worst = 0.0
    for name, query in HOSTILE.items():
        found = [spent(documents, query) for _ in range(ROUNDS)]
        took = sorted(each for each, _ in found)[ROUNDS // 2]
        worst = max(worst, took)
        print(f"{name:32}{len(query):6} characters{took:8.2f} ms  {found[0][1]}")
    print()
    ratio = round(MS / worst, 2)
    print(json.dumps({"bench": "hostile", "ratios": {"worst": ratio}, "bars": {"worst": 1.0}}))


if __name__ == "__main__":
    main()
