"""Decides how an upload is read: its file goes straight to disk as it comes, its few short fields into memory."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from fastapi.exceptions import RequestValidationError
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from chassis.errors import Invalid
from services.assets.version.objects import Objects, Staged, troubles_told

MOST_FIELDS = 60
LONGEST_FIELD = 16_000
# So much is gathered before a thread hashes and writes it: fewer turns, and still no memory to speak of.
GATHERED = 1024 * 1024


class Upload:
    """A multipart body that has arrived: its text fields in their order, and its one file, hashed and on disk."""

    def __init__(self, boundary: bytes, stage: Callable[[], Staged]) -> None:
        self.fields: list[tuple[str, str]] = []
        self.filename = ""
        self._staged: Staged | None = None
        self._stage = stage
        self._header, self._value = b"", b""
        self._headers: dict[bytes, bytes] = {}
        self._text: bytearray | None = None
        self._name = ""
        self._ended = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._part_begins, "on_header_field": self._header_named,
                "on_header_value": self._header_valued, "on_header_end": self._header_ends,
                "on_headers_finished": self._headers_end, "on_part_data": self._data, "on_part_end": self._part_ends,
                "on_end": self._body_ends,
            },
        )  # fmt: skip

    @property
    def file(self) -> Staged:
        """The file; RequestValidationError when none was sent or it has no bytes."""
        if self._staged is None:
            raise RequestValidationError([{"loc": ("body", "file"), "type": "missing", "msg": "send a file"}])
        if self._staged.size == 0:
            raise Invalid.field("file", "the file is empty", "empty")
        return self._staged

    @property
    def has_file(self) -> bool:
        return self._staged is not None

    def take(self, block: bytes) -> None:
        """The next bytes of the body."""
        try:
            with troubles_told():
                self._parser.write(block)
        except FormParserError as problem:
            raise _malformed("the body isn't well-formed multipart/form-data") from problem

    def complete(self) -> None:
        if not self._ended:
            raise _malformed("the body ended before its end")

    def close(self) -> None:
        if self._staged is not None:
            self._staged.__exit__()

    def _part_begins(self) -> None:
        self._headers.clear()

    def _header_named(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _header_valued(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_ends(self) -> None:
        self._headers[self._header.lower()] = self._value
        self._header, self._value = b"", b""

    def _headers_end(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition"))
        if b"name" not in options:
            raise _malformed("a part has no name")
        self._name = _decoded(options[b"name"])
        if b"filename" not in options:
            if len(self.fields) >= MOST_FIELDS:
                raise _malformed(f"{MOST_FIELDS} fields at most")
            self._text = bytearray()
            return
        self._text = None
        if self._name != "file":
            # Refused like any other unknown field, by its name, and not written anywhere.
            self.fields.append((self._name, ""))
            return
        if self._staged is not None:
            raise _malformed("one file at a time")
        self.filename = _decoded(options[b"filename"])
        self._staged = self._stage()

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._text is None:
            if self._name == "file" and self._staged is not None:
                self._staged.write(memoryview(data)[start:end])
        elif len(self._text) + end - start > LONGEST_FIELD:
            raise _malformed(f"a field has {LONGEST_FIELD} bytes at most")
        else:
            self._text += data[start:end]

    def _part_ends(self) -> None:
        if self._text is not None:
            self.fields.append((self._name, _decoded(bytes(self._text))))

    def _body_ends(self) -> None:
        self._ended = True


def _decoded(sent: bytes) -> str:
    try:
        return sent.decode("utf-8")
    except UnicodeDecodeError:
        return sent.decode("latin-1")


def _malformed(why: str) -> Invalid:
    return Invalid(why, code="multipart")


@asynccontextmanager
async def received(request: Request, objects: Objects) -> AsyncIterator[Upload]:
    """A request's multipart body. Its file is gone at the end of the block unless it was kept."""
    kind, options = parse_options_header(request.headers.get("content-type"))
    if kind.lower() != b"multipart/form-data":
        raise HTTPException(415, "send multipart/form-data")
    try:
        upload = Upload(options[b"boundary"], objects.stage)
    except (KeyError, ValueError, FormParserError):
        raise _malformed("the Content-Type names no boundary that can be used") from None
    # Whoever is cancelled in the middle of a turn leaves a thread at work: the file is closed after it.
    turn: asyncio.Future[Any] | None = None
    try:
        async for gathered in _gathered(request):
            turn = asyncio.get_running_loop().run_in_executor(None, partial(upload.take, gathered))
            await asyncio.shield(turn)
        upload.complete()
        yield upload
    finally:
        if turn is not None and not turn.done():
            turn.add_done_callback(lambda _: upload.close())
        else:
            await asyncio.to_thread(upload.close)


async def _gathered(request: Request) -> AsyncIterator[bytes]:
    blocks: list[bytes] = []
    size = 0
    try:
        async for block in request.stream():
            blocks.append(block)
            size += len(block)
            if size >= GATHERED:
                yield b"".join(blocks)
                blocks, size = [], 0
    except ClientDisconnect:
        raise _malformed("the body ended before its end") from None
    if size:
        yield b"".join(blocks)
