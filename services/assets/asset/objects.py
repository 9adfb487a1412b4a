"""Decides where bytes lie: in an object store, under their workspace and SHA-256, written once and never changed."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

import obstore
from fastapi import FastAPI
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore

from chassis.errors import Unavailable
from chassis.fields import new_id

# However large a file is, this much of it is in memory: a block when read, two parts when written.
BLOCK = 256 * 1024
PART = 5 * 1024 * 1024
PARTS_AT_ONCE = 2


@dataclass(frozen=True)
class Kept:
    """What was kept: SHA-256 in hex, size in bytes, the first bytes."""

    sha256: str
    size: int
    head: bytes


class Objects:
    """The bytes of all workspaces. One workspace's keys never lead to another's bytes, equal as they may be."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._store = LocalStore(root, mkdir=True)

    @staticmethod
    def key(workspace_id: UUID, sha256: str) -> str:
        return f"{workspace_id}/{sha256[:2]}/{sha256}"

    async def keep(self, workspace_id: UUID, file: BinaryIO, head: int) -> Kept:
        """Keeps a file's bytes, unless the workspace has them already; durable when it returns. `head`: how many of
        its first bytes the caller wants back. Unavailable when the store can't take it."""
        kept = await asyncio.to_thread(_read_through, file, head)
        if kept.size == 0:
            return kept
        key = self.key(workspace_id, kept.sha256)
        try:
            if not await self._has(key):
                await self._write(key, file)
        except (BaseError, OSError) as problem:
            raise Unavailable("the file can't be kept now; try again", code="store_unavailable") from problem
        # Another upload of the same bytes may have put them there a moment ago, and not yet made the name durable.
        await asyncio.to_thread(_sync, self._root / key, self._root)
        return kept

    async def _has(self, key: str) -> bool:
        try:
            await obstore.head_async(self._store, key)
        except FileNotFoundError:
            return False
        return True

    async def _write(self, key: str, file: BinaryIO) -> None:
        """Under a name of its own first, so that a key never leads to half of its bytes, whatever is pulled out when.
        A conditional put would take the whole file into memory."""
        staged = f"incoming/{new_id()}"
        try:
            await obstore.put_async(
                self._store, staged, file, use_multipart=True, chunk_size=PART, max_concurrency=PARTS_AT_ONCE
            )
            await asyncio.to_thread(_sync, self._root / staged, self._root)
            with suppress(AlreadyExistsError):
                await obstore.rename_async(self._store, staged, key, overwrite=False)
        finally:
            with suppress(FileNotFoundError):
                await obstore.delete_async(self._store, staged)

    async def open(self, workspace_id: UUID, sha256: str) -> AsyncIterator[bytes]:
        """The bytes in blocks. Unavailable, at once, when they can't be read."""
        try:
            found = await obstore.get_async(self._store, self.key(workspace_id, sha256))
        except (BaseError, OSError) as problem:
            raise Unavailable("the file can't be read now; try again", code="store_unavailable") from problem
        return aiter(found.stream(min_chunk_size=BLOCK))


def _read_through(file: BinaryIO, head: int) -> Kept:
    digest, size, first = hashlib.sha256(), 0, b""
    file.seek(0)
    while block := file.read(BLOCK):
        first = first or block[:head]
        size += len(block)
        digest.update(block)
    file.seek(0)
    return Kept(digest.hexdigest(), size, first)


def _sync(path: Path, root: Path) -> None:
    """Makes a file and its name outlive a power cut: the local store leaves that to the operating system's mood."""
    while True:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        if path == root:
            return
        path = path.parent


@asynccontextmanager
async def open_objects(app: FastAPI) -> AsyncIterator[None]:
    """Opens the object store as `app.state.objects`."""
    app.state.objects = Objects(app.state.settings.home / "assets")
    yield
