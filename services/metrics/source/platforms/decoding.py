"""Decides how a body is taken apart so that one event that can't be read costs no other."""

import base64
import binascii
import json
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import msgspec

from services.metrics.event.rules import MOST_ITEMS, ReadEvent, Reading, Unreadable, UnreadableError

MOST_REASON = 500
# So many parts of a post are kept one by one where they can't be read; the others together.
MOST_SINGLE = 100
Shape = TypeVar("Shape")

_ONE, _GAP = json.JSONDecoder(), re.compile(r"\s*")
# Everything that the decoder raises at bytes it can't make sense of; it recurses into nested values.
DECODING = (msgspec.MsgspecError, ValueError, RecursionError)

# All up to the next bracket or comma that is in no string, then it; brackets of one direction together. Nothing is
# given back once it is matched, so that the time grows with the body alone; the group is empty where the body ends or a
# string doesn't. Commas only matter between items, not within one.
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_OUTSIDE = re.compile(rb'(?:[^"\[\]{},]++|' + _STRING + rb")*+([\[{]++|[\]}]++|,|)", re.DOTALL)
_INSIDE = re.compile(rb'(?:[^"\[\]{}]++|' + _STRING + rb")*+([\[{]++|[\]}]++|)", re.DOTALL)
_MEMBER = re.compile(rb"(" + _STRING + rb")\s*+:\s*+(.*+)", re.DOTALL)
# Every escape is matched, so that the "u" after a backslash that is itself escaped begins none, and a pair stays one.
_ESCAPE = re.compile(rb"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.", re.DOTALL)


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
    try:
        items = msgspec.json.decode(body, type=list[msgspec.Raw])
    except DECODING:
        # One item that it can't make sense of, such as half of an emoji, is enough. It is found when each is read.
        parts = split(body, b"[", b"]")
        if parts is None:
            raise
        items = list(map(msgspec.Raw, parts))
    if len(items) > MOST_ITEMS:
        raise _too_many()
    return items


def split(body: bytes, opens: bytes, closes: bytes) -> list[bytes] | None:
    """What stands between the commas of an array or object, whatever it is; None for what isn't closed or holds gaps.

    It goes by strings and brackets alone and doesn't recurse. UnreadableError when there is more than a post may hold.
    """
    start = len(body) - len(body.lstrip())
    if body[start : start + 1] != opens:
        return None
    found: list[bytes] = []
    depth, place = 1, start + 1
    start = place
    while depth:
        match = (_OUTSIDE if depth == 1 else _INSIDE).match(body, place)
        mark = match[1] if match else b""
        if match is None or not mark:
            return None
        place = match.end()
        if mark[0] in b"[{":
            depth += len(mark)
            continue
        if mark[0] in b"]}":
            # Those after the bracket that closes the body make it none, as would anything else.
            place = match.start(1) + min(depth, len(mark))
            depth -= place - match.start(1)
        if depth == 0 or mark == b",":
            if len(found) == MOST_ITEMS:
                raise _too_many()
            found.append(body[start : place - 1].strip())
            start = place
    if body[place - 1 : place] != closes or body[place:].strip():
        return None
    if found == [b""]:
        return []
    return found if all(found) else None


def members_of(body: bytes) -> dict[str, bytes] | None:
    """The members of an object by their names, each as it was sent; None for what is no object."""
    parts = split(body, b"{", b"}")
    matches = [_MEMBER.fullmatch(part) for part in parts or ()]
    found: dict[str, bytes] = {}
    for match in matches:
        if match is None:
            return None
        with suppress(*DECODING):  # a name that can't be read is none that is looked for
            found[msgspec.json.decode(match[1], type=str)] = match[2]
    return None if parts is None else found


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


def together(payload: bytes) -> bytes | None:
    """Several JSON values one after the other, as an array of them; None for anything else, a single one too."""
    try:
        text, place, found = payload.decode(), 0, list[str]()
        while place < len(text):
            start = _GAP.match(text, place).end()  # type: ignore[union-attr]  # it matches nothing, too
            if start == len(text):
                break
            _, place = _ONE.raw_decode(text, start)
            found.append(text[start:place])
    except (ValueError, RecursionError):
        return None
    return f"[{','.join(found)}]".encode() if len(found) > 1 else None


def read_each(items: Sequence[msgspec.Raw], kind: type[Shape], read: Callable[[Shape], ReadEvent]) -> Reading:
    """Each item on its own: decoded into `kind`, then read."""
    decoder = msgspec.json.Decoder(kind)
    reading = Reading([], [])
    rest: list[msgspec.Raw] = []
    why = ""
    for item in items:
        try:
            reading.events.append(read(_decoded(decoder, item)))
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


def whole(body: bytes, kind: type[Shape]) -> Shape:
    """A body that is one value, mended as an item is."""
    return _decoded(msgspec.json.Decoder(kind), body)


def _decoded(decoder: msgspec.json.Decoder[Shape], item: msgspec.Raw | bytes) -> Shape:
    """One item. Half of a surrogate pair becomes U+FFFD: senders cut texts, most of them ones that aren't kept, and
    the event did happen. The same bytes always become the same text, so that a retry has the same identity."""
    try:
        return decoder.decode(item)
    except DECODING:
        mended = _ESCAPE.sub(lambda escape: rb"\ufffd" if escape[1] else escape[0], bytes(item))
        if mended == bytes(item):
            raise
        return decoder.decode(mended)


def strict_base64(text: str) -> bytes | None:
    """The bytes of canonical base64, None for anything else: one signature has one spelling."""
    try:
        decoded = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return decoded if base64.b64encode(decoded).decode() == text else None
