"""A slice in ten minutes: what docs/a-new-slice.md says is a slice, whole and small."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.grown import grow, lines

MOST_LINES = 120
BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("grown")
    new = grow(folder)
    assert {path.name for path in new} >= {"rules.py", "models.py", "api.py"}
    run(folder, sys.executable, "-m", "deploy.contracts")
    return folder


def run(tree: Path, *command: str | Path) -> None:
    done = subprocess.run(
        command, cwd=tree, env=os.environ | {"RUFF_NO_CACHE": "true"}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_slice_takes_less_than_120_lines() -> None:
    assert lines() < MOST_LINES


def test_it_appears_in_openapi_and_in_the_graph_by_itself(tree: Path) -> None:
    paths = json.loads((tree / "openapi" / "goals.json").read_text())["paths"]
    found = {operation["operationId"] for path in paths.values() for operation in path.values()}
    assert found >= {"create_note", "get_note", "list_notes", "update_note", "resolve_note"}
    graph = (tree / "gateway" / "schema.graphql").read_text()
    assert "type Note {" in graph
    campaign = graph.partition("type Campaign {")[2].partition("\n}")[0]
    assert "notes(" in campaign
    mutations = graph.partition("type Mutation {")[2].partition("\n}")[0]
    assert all(name in mutations for name in ("createNote", "updateNote", "resolveNote"))


def test_the_page_s_code_is_as_clean_as_the_house_s(tree: Path) -> None:
    run(tree, BIN / "ruff", "check", "services", "gateway")
    run(tree, BIN / "ruff", "format", "--check", "services", "gateway")
    run(tree, BIN / "lint-imports", "--no-cache")
