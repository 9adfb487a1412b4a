"""Decides how a body is taken apart so that one event that can't be read costs no other."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from services.metrics.event.rules import ReadEvent, Reading, Unreadable, UnreadableError

MOST_REASON = 500
Shape = TypeVar("Shape")

# Everything that the decoder raises at bytes it can't make sense of; it recurses into nested values.
DECODING = (msgspec.MsgspecError, ValueError, RecursionError)


def reason(problem: BaseException) -> str:
    """A decoder's complaint in one line that can be stored."""
    text = str(problem) or type(problem).__name__
    return text.replace("\0", "\\0").encode("utf-8", "replace").decode()[:MOST_REASON]


def read_each(items: Sequence[msgspec.Raw], kind: type[Shape], read: Callable[[Shape], ReadEvent]) -> Reading:
    """Each item on its own: decoded into `kind`, then read."""
    decoder = msgspec.json.Decoder(kind)
    reading = Reading([], [])
    for item in items:
        try:
            reading.events.append(read(decoder.decode(item)))
        except (UnreadableError, *DECODING) as problem:
            reading.unreadable.append(Unreadable(bytes(item), reason(problem)))
    return reading


def strict_base64(text: str) -> bytes | None:
    """The bytes of canonical base64, None for anything else: one signature has one spelling."""
    try:
        decoded = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return decoded if base64.b64encode(decoded).decode() == text else None
