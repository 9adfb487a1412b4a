"""Decides how what a platform says of one event becomes an event of ours, whichever platform it is."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from services.metrics.event.rules import (
    MOST_MESSAGE_ID,
    MOST_URL,
    EventType,
    ReadEvent,
    Reading,
    Unreadable,
    UnreadableError,
    clean,
    clean_recipient,
    clean_tags,
    identity,
    judge,
    plausible,
)
from services.metrics.source.platforms.decoding import DECODING, items_of, read_each, reason, whole
from services.metrics.source.platforms.fields import Fields
from services.metrics.source.rules import Labels

OBJECT = dict[str, Any]


def tell(
    labels: Labels, now: datetime, kind: EventType, occurred_at: datetime, recipient: str | None,
    message_id: str | None, *, url: str | None = None, tags: Sequence[str] = (), data: Mapping[str, str] | None = None,
    machine: str | None = None, ip: str | None = None, agent: str | None = None, key: tuple[object, ...] = (),
    stable: tuple[object, ...] = (),
) -> ReadEvent:  # fmt: skip
    """An event, clean enough to be stored; UnreadableError, naming the field, when it can't be.

    `key` is the platform's own id where every retry has it; without one, the key is made of all that stays the same,
    and of `stable` beside it. `ip` and `agent` are those of who acted; they are judged by and not kept.
    """
    recipient = clean_recipient(recipient)
    message_id = clean("message_id", message_id, MOST_MESSAGE_ID)
    url = clean("url", url, MOST_URL)
    occurred_at = plausible(occurred_at, now)
    verdict, reasons = judge(kind, machine, url=url, ip=ip, agent=agent, traps=labels.traps)
    return ReadEvent(
        key=identity(*key) if key else identity(
            kind.value, message_id, recipient, occurred_at.isoformat(), url, *(each or None for each in stable)
        ),
        type=kind,
        recipient=recipient,
        message_id=message_id,
        url=url,
        tags=clean_tags(tuple(labels.of(tags, data or {}, url))),
        occurred_at=occurred_at,
        verdict=verdict,
        reasons=reasons,
    )  # fmt: skip


def read_many(body: bytes, read: Callable[[Fields], ReadEvent], split: Callable[[bytes], list[msgspec.Raw]]) -> Reading:
    """Each of a body's items on its own: one that can't be read costs no other."""
    try:
        items = split(body)
    except (UnreadableError, *DECODING) as problem:
        return Reading([], [Unreadable(body, reason(problem))])
    return read_each(items, OBJECT, lambda item: read(Fields(item)))


def read_whole(body: bytes, read: Callable[[], Iterable[ReadEvent]]) -> Reading:
    """A body that is read as one: all of its events, or none."""
    try:
        return Reading(list(read()), [])
    except (UnreadableError, *DECODING) as problem:
        return Reading([], [Unreadable(body, reason(problem))])


def one_or_many(body: bytes) -> list[msgspec.Raw]:
    """The items of an array; a bare object is one."""
    return items_of(body) if body.lstrip()[:1] == b"[" else [msgspec.Raw(body)]


def one(body: bytes) -> list[msgspec.Raw]:
    return [msgspec.Raw(body)]


def object_of(body: bytes) -> Fields:
    """A body that is one JSON object; what the decoder raises when it isn't."""
    return Fields(whole(body, OBJECT))
