"""Decides what the contracts are, each part's OpenAPI document, the graph that follows from them and what events say,
and whether they still hold what was released."""

import importlib
import json
import sys
from pathlib import Path

from chassis.stack import parts
from deploy import events
from deploy.breaking import Break, of_graph, of_openapi, undeclared
from gateway.derive.graph import build
from gateway.edges import EDGES, HEARD, KEYS

ROOT = Path(__file__).parent.parent
RELEASED = ROOT / "openapi" / "released"
GRAPH = "schema.graphql"
EVENTS = "events.json"


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
    found[ROOT / "gateway" / "schema.graphql"] = build(documents, EDGES, KEYS, HEARD).as_str() + "\n"
    found[ROOT / "openapi" / "asyncapi" / EVENTS] = json.dumps(events.document(), indent=2, ensure_ascii=False) + "\n"
    return found


def release() -> None:
    """Makes the contracts of now the promise that later ones are held to."""
    RELEASED.mkdir(exist_ok=True)
    for path, content in contracts().items():
        (RELEASED / path.name).write_text(content)


def breaks_since(released: Path) -> list[Break]:
    """How today's contracts break those in a folder."""
    found = []
    for path, content in contracts().items():
        before = released / path.name
        if not before.exists():
            continue
        if path.name == GRAPH:
            found += of_graph(before.read_text(), content)
        elif path.name == EVENTS:
            found += events.breaks(json.loads(before.read_text()), json.loads(content))
        else:
            found += of_openapi(json.loads(before.read_text()), json.loads(content))
    gone = {path.name for path in released.iterdir()} - {path.name for path in contracts()}
    return found + [Break(Path(name).stem, "the whole contract is gone") for name in sorted(gone)]


def _against(folder: Path) -> int:
    found = undeclared(breaks_since(folder), (ROOT / "CHANGELOG.md").read_text())
    for each in found:
        print(f"breaks callers: {each}", file=sys.stderr)
    if found:
        print(
            "keep what was released, or say in CHANGELOG.md's newest section `BREAKING: SUBJECT: why`, where SUBJECT is"
            " what stands before the first colon above",
            file=sys.stderr,
        )
    return 1 if found else 0


def main(arguments: list[str]) -> int:
    """Writes the contracts; with --check, only says which are stale; with --against FOLDER, how they break those there;
    with --release, keeps them as what was released."""
    if "--against" in arguments:
        return _against(Path(arguments[arguments.index("--against") + 1]))
    if "--release" in arguments:
        release()
        return 0
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
