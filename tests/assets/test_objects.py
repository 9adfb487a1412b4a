"""What the object store promises, apart from any request."""

import io
from pathlib import Path

from chassis.fields import new_id
from services.assets.asset.objects import Objects


def files_below(root: Path) -> list[tuple[str, ...]]:
    return sorted(path.relative_to(root).parts for path in root.rglob("*") if path.is_file())


async def test_bytes_that_came_first_stay_when_an_equal_upload_saw_none_and_comes_second(tmp_path: Path) -> None:
    objects, key = Objects(tmp_path), f"{new_id()}/ab/ab12"
    await objects._write(key, io.BytesIO(b"first"))
    await objects._write(key, io.BytesIO(b"second"))
    assert (tmp_path / key).read_bytes() == b"first"
    assert files_below(tmp_path) == [tuple(key.split("/"))]


async def test_bytes_are_kept_for_their_own_workspace_alone(tmp_path: Path) -> None:
    objects, ours, theirs = Objects(tmp_path), new_id(), new_id()
    kept = await objects.keep(ours, io.BytesIO(b"logo"), head=2)
    assert (kept.size, kept.head) == (4, b"lo")
    assert files_below(tmp_path) == [(str(ours), kept.sha256[:2], kept.sha256)]
    await objects.keep(theirs, io.BytesIO(b"logo"), head=2)
    assert [parts[0] for parts in files_below(tmp_path)] == [str(ours), str(theirs)]
