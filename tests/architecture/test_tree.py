"""What the tree promises: who knows one service knows all four, and a name tells what it is."""

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from chassis.stack import parts

ROOT = Path(__file__).parent.parent.parent
SERVICES = [name for name in parts() if name != "gateway"]
AT_THE_ROOT = {"pyproject.toml", "app.py", "db.py", "events.py", "seed.py", "migrations"}
IN_A_SLICE = {"rules.py", "models.py", "store.py", "api.py"}


def tracked(pattern: str = "*") -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", pattern],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [path for name in listed.stdout.splitlines() if (path := ROOT / name).is_file()]


def slices(service: str) -> list[Path]:
    folder = ROOT / "services" / service
    return [path for path in folder.iterdir() if path.is_dir() and path.name not in ("migrations", "__pycache__")]


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_has_the_same_entries(service: str) -> None:
    found = {path.name for path in (ROOT / "services" / service).iterdir() if path.name != "__pycache__"}
    found -= {path.name for path in slices(service)}
    assert found - {"upstream.py"} == AT_THE_ROOT
    assert ("upstream.py" in found) == bool(parts()[service].asks)


@pytest.mark.parametrize("service", SERVICES)
def test_every_slice_has_its_four_files(service: str) -> None:
    for folder in slices(service):
        files = {path.name for path in folder.glob("*.py")}
        # A slice whose rows are definitions in code has nothing to store; one that others only write to has no routes.
        assert {"rules.py", "models.py"} <= files or {"models.py", "store.py"} <= files, folder
        assert not files & {"service.py", "utils.py", "helpers.py", "manager.py", "base.py"}, folder


def test_every_slice_is_held_to_its_layers() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    layers = next(each for each in project["tool"]["importlinter"]["contracts"] if each["type"] == "layers")
    found = {f"services.{service}.{folder.name}" for service in SERVICES for folder in slices(service)}
    assert found == {name for name in layers["containers"] if name.startswith("services.")}


def test_only_the_chassis_commits() -> None:
    for path in tracked("*.py"):
        folder, name = path.relative_to(ROOT).parts[0], path.relative_to(ROOT).as_posix()
        if folder in ("chassis", "services", "gateway") and name != "chassis/migrate.py":
            assert not re.search(r"\.commit\(\)|\.begin\(\)|autocommit", path.read_text()) or name == "chassis/db.py", (
                name
            )


def test_every_module_opens_with_what_it_decides() -> None:
    for path in tracked("*.py"):
        if path.relative_to(ROOT).parts[0] in ("chassis", "services", "gateway", "deploy"):
            first = (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]
            assert first, f"{path} has no docstring"


def test_no_file_names_a_folder_of_somebody_s_machine() -> None:
    folders = re.compile(r"/(root|home|Users)/\w")
    for path in tracked():
        if path.suffix not in (".js", ".css"):  # vendored
            assert not folders.search(path.read_text(errors="ignore")), path


def test_locks_hold_hashes_and_no_address() -> None:
    locks = [path for path in tracked() if path.suffix == ".lock"]
    assert len(locks) == 3
    for path in locks:
        text = path.read_text()
        assert "://" not in text, path
        pinned = re.findall(r"^\S+==\S+", text, re.MULTILINE)
        assert pinned
        assert len(re.findall(r"^\S+==.*\\\n    --hash=sha256:", text, re.MULTILINE)) == len(pinned), path


def test_ports_and_schemas_are_each_part_s_own() -> None:
    rows = parts().values()
    assert len({row.port for row in rows}) == len({row.schema for row in rows}) == len(rows)
    assert all(set(row.hears) <= set(parts()) for row in rows)
