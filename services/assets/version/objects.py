"""Decides where bytes lie: in an object store, under their workspace and SHA-256, written once and never changed."""

import asyncio
import errno
import fcntl
import hashlib
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO, Self
from uuid import UUID

import obstore
from fastapi import FastAPI
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore

from chassis.errors import Unavailable
from chassis.fields import new_id
from chassis.jobs import Job

# However large a file is, this much of it is in memory when it is read.
BLOCK = 1024 * 1024
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
FULL_RETRY_SECONDS = 60


class Staged:
    """A file on its way in: hashed as it is written, nobody's yet, and gone unless it is kept.

    It is locked while its process lives, so that whoever sweeps knows what nobody will finish.
    """

    def __init__(self, folder: Path) -> None:
        self.file, self.path = self._opened(folder)
        self.size = 0
        self._digest = hashlib.sha256()

    @staticmethod
    def _opened(folder: Path) -> tuple[BinaryIO, Path]:
        while True:
            path = folder / str(new_id())
            file = open(path, "x+b", buffering=0)  # noqa: SIM115  # closed by __exit__
            with suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # A sweep may have come between the two.
                if os.fstat(file.fileno()).st_nlink:
                    return file, path
            file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.path.unlink(missing_ok=True)
        self.file.close()

    def write(self, block: memoryview) -> None:
        self._digest.update(block)
        self.size += len(block)
        while block:
            block = block[self.file.write(block) :]

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


@contextmanager
def troubles_told() -> Iterator[None]:
    """What goes wrong with the store, as Unavailable: the caller may try again, and nothing is half there."""
    try:
        yield
    except (BaseError, OSError) as problem:
        if isinstance(problem, OSError) and problem.errno in _FULL:
            raise Unavailable(
                "there is no room for the file now; nothing was kept", code="store_full", retry_after=FULL_RETRY_SECONDS
            ) from problem
        raise Unavailable("the file can't be kept or read now; try again", code="store_unavailable") from problem


class Objects:
    """The bytes of all workspaces. One workspace's keys never lead to another's bytes, equal as they may be."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._store = LocalStore(root, mkdir=True)
        self._incoming = root / "incoming"
        self._incoming.mkdir(parents=True, exist_ok=True)

    @staticmethod
    def key(workspace_id: UUID, sha256: str) -> str:
        return f"{workspace_id}/{sha256[:2]}/{sha256}"

    def stage(self) -> Staged:
        """Where an upload is written, on the disk that it will stay on: keeping it moves nothing but its name."""
        return Staged(self._incoming)

    async def keep(self, workspace_id: UUID, staged: Staged) -> None:
        """Keeps a file, unless the workspace has its bytes already; durable when it returns. Unavailable when the
        store can't take it."""
        key = self.key(workspace_id, staged.sha256)
        with troubles_told():
            if not await self._has(key):
                await asyncio.to_thread(os.fsync, staged.file.fileno())
                with suppress(AlreadyExistsError):
                    await obstore.rename_async(self._store, f"incoming/{staged.path.name}", key, overwrite=False)
            # Another upload of the same bytes may have put them there a moment ago, and not yet made the name durable.
            await asyncio.to_thread(_sync_folders, self._root / key, self._root)

    async def _has(self, key: str) -> bool:
        try:
            await obstore.head_async(self._store, key)
        except FileNotFoundError:
            return False
        return True

    async def read(self, workspace_id: UUID, sha256: str, start: int, end: int) -> bytes:
        """The bytes from `start` until before `end`, where they are few. Unavailable when they can't be read."""
        with troubles_told():
            found = await obstore.get_range_async(self._store, self.key(workspace_id, sha256), start=start, end=end)
        return bytes(found)

    async def open(self, workspace_id: UUID, sha256: str, start: int, end: int) -> AsyncIterator[memoryview]:
        """The bytes from `start` until before `end`, in blocks. Unavailable, at once, when they can't be read."""
        key = self.key(workspace_id, sha256)
        with troubles_told():
            first = await obstore.get_range_async(self._store, key, start=start, end=min(start + BLOCK, end))
        return self._blocks(key, first, start + BLOCK, end)

    async def _blocks(self, key: str, block: obstore.Bytes, position: int, end: int) -> AsyncIterator[memoryview]:
        yield memoryview(block)
        while position < end:
            block = await obstore.get_range_async(self._store, key, start=position, end=min(position + BLOCK, end))
            position += BLOCK
            yield memoryview(block)

    def sweep(self) -> int:
        """Removes what died processes left half received; says how many files that were."""
        swept = 0
        for path in self._incoming.iterdir():
            with suppress(FileNotFoundError, BlockingIOError), path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
                swept += 1
        return swept


def _sync_folders(path: Path, root: Path) -> None:
    """Makes a file's name outlive a power cut: the local store leaves that to the operating system's mood."""
    while path != root:
        path = path.parent
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@asynccontextmanager
async def open_objects(app: FastAPI) -> AsyncIterator[None]:
    """Opens the object store as `app.state.objects`, and `app.state.versions` for what is known of what lies there."""
    app.state.versions = {}
    app.state.objects = Objects(app.state.settings.home / "assets")
    yield


async def sweep_incoming(app: FastAPI) -> None:
    """Removes what uploads left that ended with their process."""
    objects: Objects = app.state.objects
    await asyncio.to_thread(objects.sweep)


SWEEP_INCOMING = Job("sweep_incoming", timedelta(minutes=10), sweep_incoming)
