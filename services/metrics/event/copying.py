"""Decides how events become the bytes of a binary COPY: in one pass, without an object for each of their fields."""

from collections.abc import Mapping
from functools import lru_cache
from struct import Struct

from services.metrics.event.rules import ReadEvent

# PostgreSQL's: a signature, no flags, no extension; and minus one fields at the end.
_BEGIN = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END = b"\xff\xff"
_NULL = b"\xff\xff\xff\xff"
# How many fields follow, then each with its length before it: id, source.
_HEAD = Struct(">hi16si16s")
_INT = Struct(">ii")
_LENGTH = Struct(">i")
_TIMES = Struct(">iqiq")
# Postgres counts from 2000.
_MILLENNIUM = 946_684_800_000_000


@lru_cache(maxsize=1000)
def _code(value: str) -> bytes:
    """One of few words, such as a type, as a field."""
    return _text(value)


@lru_cache(maxsize=1000)
def _judged(verdict: str, reasons: tuple[str, ...]) -> bytes:
    return _text(verdict) + _text(",".join(reasons))


def _text(value: str | None) -> bytes:
    if value is None:
        return _NULL
    encoded = value.encode()
    return _LENGTH.pack(len(encoded)) + encoded


def encode(
    found: Mapping[bytes, tuple[ReadEvent, bytes, int, int]],
    people: Mapping[str, int],
    tags: Mapping[tuple[str, ...], int],
) -> bytes:
    """Rows of (id -> event, source, when it happened, when it came), with people and tags as their places."""

    rows: list[bytes] = []
    add, head, number, times, length = rows.append, _HEAD.pack, _INT.pack, _TIMES.pack, _LENGTH.pack
    places: dict[tuple[str, ...], bytes] = {each: number(4, place) for each, place in tags.items()}
    places[()] = _NULL
    for event_id, (event, source, at, received) in found.items():
        _, kind, recipient, message_id, url, tagged, _, verdict, reasons = event
        message = _NULL if message_id is None else message_id.encode()
        link = _NULL if url is None else url.encode()
        add(head(11, 16, event_id, 16, source))
        add(_code(kind.value))
        add(_NULL if recipient is None else number(4, people[recipient]))
        if message is not _NULL:
            add(length(len(message)))
        add(message)
        if link is not _NULL:
            add(length(len(link)))
        add(link)
        add(places[tagged])
        add(times(8, at - _MILLENNIUM, 8, received - _MILLENNIUM))
        add(_judged(verdict.value, reasons))
    return b"".join((_BEGIN, *rows, _END))
