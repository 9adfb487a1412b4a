"""Decides how a body is taken apart so that one event that can't be read costs no other."""

import base64
import binascii
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import msgspec

from services.metrics.event.rules import MOST_ITEMS, ReadEvent, Reading, Unreadable, UnreadableError

MOST_REASON = 500
# So many parts of a post are kept one by one where they can't be read; the others together.
MOST_SINGLE = 100
Shape = TypeVar("Shape")

# Everything that the decoder raises at bytes it can't make sense of; it recurses into nested values.
DECODING = (msgspec.MsgspecError, ValueError, RecursionError)


def reason(problem: BaseException) -> str:
    """A decoder's complaint in one line that can be stored."""
    text = str(problem) or type(problem).__name__
    return text.replace("\0", "\\0").encode("utf-8", "replace").decode()[:MOST_REASON]


def items_of(body: bytes) -> list[msgspec.Raw]:
    """The items of an array, each as it was sent; UnreadableError when they are more than a post may hold."""
    # Before they are told apart: each is an object of its own then, so that millions would fill the memory. An array
    # has a comma fewer than items, so that nearly all bodies need no counting.
    if body.count(b",") >= MOST_ITEMS:
        _count(body)
    items = msgspec.json.decode(body, type=list[msgspec.Raw])
    if len(items) > MOST_ITEMS:
        raise _too_many()
    return items


class _Counted:
    """Stands for any item while they are counted."""


def _count(body: bytes) -> None:
    """UnreadableError at the first item too many. Anything else that is wrong is found when the items are read."""
    item = _Counted()
    count = 0

    def counting(_: type, __: Any) -> _Counted:
        nonlocal count
        count += 1
        if count > MOST_ITEMS:
            raise _too_many()
        return item

    with suppress(*DECODING):
        msgspec.json.decode(body, type=list[_Counted], dec_hook=counting)


def _too_many() -> UnreadableError:
    return UnreadableError(f"more than {MOST_ITEMS} events in one post: send them in several")


def read_each(items: Sequence[msgspec.Raw], kind: type[Shape], read: Callable[[Shape], ReadEvent]) -> Reading:
    """Each item on its own: decoded into `kind`, then read."""
    decoder = msgspec.json.Decoder(kind)
    reading = Reading([], [])
    rest: list[msgspec.Raw] = []
    why = ""
    for item in items:
        try:
            reading.events.append(read(decoder.decode(item)))
        except (UnreadableError, *DECODING) as problem:
            if len(reading.unreadable) < MOST_SINGLE:
                reading.unreadable.append(Unreadable(bytes(item), reason(problem)))
            else:
                why = why or reason(problem)
                rest.append(item)
    if rest:
        # In one row, or a sender gone wrong would fill the table.
        told = f"{len(rest)} more of this post; of the first: {why}"[:MOST_REASON]
        reading.unreadable.append(Unreadable(b"\n".join(map(bytes, rest)), told, len(rest)))
    return reading


def strict_base64(text: str) -> bytes | None:
    """The bytes of canonical base64, None for anything else: one signature has one spelling."""
    try:
        decoded = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return decoded if base64.b64encode(decoded).decode() == text else None
