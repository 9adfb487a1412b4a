"""Decides what the contracts are: each part's OpenAPI document and the graph that follows from them."""

import importlib
import json
import sys
from pathlib import Path

from chassis.stack import parts
from gateway.derive.graph import build
from gateway.edges import EDGES, KEYS

ROOT = Path(__file__).parent.parent


def contracts() -> dict[Path, str]:
    """Every contract's file and what it should hold."""
    found = {}
    documents = {}
    for part, row in parts().items():
        module, _, name = row.app.partition(":")
        document = getattr(importlib.import_module(module), name).openapi()
        found[ROOT / "openapi" / f"{part}.json"] = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
        documents[part] = document
    # From the documents at hand, not from the files: one run brings both up to date.
    found[ROOT / "gateway" / "schema.graphql"] = build(documents, EDGES, KEYS).as_str() + "\n"
    return found


def main(arguments: list[str]) -> int:
    """Writes the contracts; with --check, only says which are stale."""
    stale = [path for path, content in contracts().items() if not path.exists() or path.read_text() != content]
    if "--check" in arguments:
        for path in stale:
            print(f"{path.relative_to(ROOT)} isn't what the code says: run `make contracts`", file=sys.stderr)
        return 1 if stale else 0
    for path in stale:
        path.write_text(contracts()[path])
        print(f"wrote {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
