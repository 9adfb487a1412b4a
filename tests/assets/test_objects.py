"""What the object store promises, apart from any request."""

import asyncio
import fcntl
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

import pytest

from chassis.fields import new_id
from services.assets.version.objects import Objects


def files_below(root: Path) -> list[tuple[str, ...]]:
    return sorted(path.relative_to(root).parts for path in root.rglob("*") if path.is_file())


async def keep(objects: Objects, workspace_id: UUID, content: bytes) -> str:
    with objects.stage() as staged:
        staged.write(memoryview(content))
        await objects.keep(workspace_id, staged)
        return staged.sha256


async def test_bytes_that_came_first_stay_when_equal_ones_come_again(tmp_path: Path) -> None:
    objects, workspace = Objects(tmp_path), new_id()
    sha256 = await keep(objects, workspace, b"logo")
    (place,) = files_below(tmp_path)
    inode = (tmp_path / Path(*place)).stat().st_ino
    assert await keep(objects, workspace, b"logo") == sha256
    await asyncio.gather(*(keep(objects, workspace, b"logo") for _ in range(8)))
    assert files_below(tmp_path) == [(str(workspace), sha256[:2], sha256)]
    assert (tmp_path / Path(*place)).stat().st_ino == inode


async def test_bytes_are_kept_for_their_own_workspace_alone(tmp_path: Path) -> None:
    objects, ours, theirs = Objects(tmp_path), new_id(), new_id()
    await keep(objects, ours, b"logo")
    await keep(objects, theirs, b"logo")
    assert sorted(parts[0] for parts in files_below(tmp_path)) == sorted([str(ours), str(theirs)])


async def test_a_file_that_is_not_kept_is_gone(tmp_path: Path) -> None:
    objects = Objects(tmp_path)
    with objects.stage() as staged:
        staged.write(memoryview(b"half"))
    assert files_below(tmp_path) == []


def test_what_a_killed_process_was_receiving_is_swept_and_what_a_living_one_receives_is_not(tmp_path: Path) -> None:
    objects = Objects(tmp_path)
    code = (
        "import os, sys, pathlib; from services.assets.version.objects import Objects\n"
        "staged = Objects(pathlib.Path(sys.argv[1])).stage()\n"
        "staged.write(memoryview(b'half')); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    with objects.stage() as ours:
        ours.write(memoryview(b"whole"))
        assert len(files_below(tmp_path)) == 2
        assert objects.sweep() == 1
        assert files_below(tmp_path) == [("incoming", ours.path.name)]


def test_a_sweep_between_a_file_s_birth_and_its_lock_costs_no_upload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects, lock, calls = Objects(tmp_path), fcntl.flock, []

    def swept_first(file: BinaryIO, how: int) -> None:
        calls.append(how)
        if len(calls) == 1:
            assert objects.sweep() == 1
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", swept_first)
    with objects.stage() as staged:
        assert staged.path.exists()
