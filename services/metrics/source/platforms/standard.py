"""Decides what a sender of one's own may send: events of ours, as JSON, JSON lines or CloudEvents."""

from base64 import b64decode
from datetime import datetime
from typing import Any

import msgspec

from services.metrics.event.rules import (
    MACHINE,
    MACHINE_OPEN,
    MOST_ITEMS,
    EventType,
    ReadEvent,
    Reading,
    Unreadable,
    UnreadableError,
)
from services.metrics.source.platforms.decoding import DECODING, items_of, members_of, read_each, reason, whole
from services.metrics.source.platforms.fields import Fields, texts_of
from services.metrics.source.platforms.platform import Delivery
from services.metrics.source.platforms.standardwebhooks import StandardWebhooks
from services.metrics.source.platforms.telling import tell
from services.metrics.source.rules import Labels


class Sent(msgspec.Struct):
    """One event, or the CloudEvent that holds it in `data`. `id` isn't listed: senders change it on retries, so it says
    nothing."""

    type: str | None = None
    occurred_at: datetime | None = None
    recipient: str | None = None
    message_id: str | None = None
    url: str | None = None
    tags: str | list[str] | None = None
    machine: bool | None = None
    metadata: Any = None
    ip: Any = None
    user_agent: Any = None
    # A CloudEvent has these. In an event of ours they may be anything, as what isn't known is passed over.
    specversion: Any = None
    time: Any = None
    data: msgspec.Raw = msgspec.Raw()
    data_base64: Any = None


class Posted(msgspec.Struct):
    """What tells a batch from an event; empty where it wasn't sent."""

    type: msgspec.Raw = msgspec.Raw()
    events: msgspec.Raw = msgspec.Raw()


class Standard(StandardWebhooks):
    """The body alone says what happened. Of a CloudEvent in binary mode it is the data, and its attributes are headers:
    those aren't signed, so they decide nothing."""

    def read(self, delivery: Delivery, labels: Labels) -> Reading:
        try:
            items = _items(delivery.body)
        except (UnreadableError, *DECODING) as problem:
            return Reading([], [Unreadable(delivery.body, reason(problem))])
        return read_each(items, Sent, lambda sent: _read(sent, labels, delivery.at))


def _items(body: bytes) -> list[msgspec.Raw]:
    """An array, `{"events": [...]}`, JSON lines, or one event."""
    if body.lstrip()[:1] == b"[":
        return items_of(body)
    lines = _lines(body)
    if lines:
        return lines
    try:
        posted = msgspec.json.decode(body, type=Posted)
        events, kind = bytes(posted.events), bytes(posted.type)
    except DECODING:
        # An event among them that can't be decoded: it is told from the others all the same.
        members = members_of(body)
        if members is None:
            broken = _split(body)
            if len(broken) > 1 and any(members_of(line) is not None for line in broken):
                return list(map(msgspec.Raw, broken))  # lines, of which the first is none
            raise
        events, kind = members.get("events", b""), members.get("type", b"")
    return items_of(events) if events and not kind else [msgspec.Raw(body)]


def _lines(body: bytes) -> list[msgspec.Raw]:
    """The lines of JSON lines; none if the first isn't a whole object, or is all there is."""
    first, _, rest = body.lstrip().partition(b"\n")
    if not (first.startswith(b"{") and first.rstrip().endswith(b"}") and rest.strip()) or members_of(first) is None:
        return []
    return list(map(msgspec.Raw, _split(body)))


def _split(body: bytes) -> list[bytes]:
    """The lines that hold anything."""
    if body.strip().count(b"\n") >= MOST_ITEMS:
        raise UnreadableError(f"more than {MOST_ITEMS} events in one post: send them in several")
    return [line for each in body.split(b"\n") if (line := each.strip())]


def _inner(sent: Sent) -> Sent:
    """The event within a CloudEvent. What it doesn't say itself, its envelope does."""
    packed = Fields({"data_base64": sent.data_base64}).text("data_base64")
    try:
        data = b64decode(packed, validate=True) if packed else bytes(sent.data)
    except ValueError:
        raise UnreadableError("data_base64: is no base64") from None
    # It may have none, and still say what happened when.
    inner = Sent() if data in (b"", b"null") else whole(data, Sent)
    inner.type = inner.type or (sent.type or "").rpartition(".")[2]
    inner.occurred_at = inner.occurred_at or Fields({"time": sent.time}).time("time")
    return inner


def _read(sent: Sent, labels: Labels, now: datetime) -> ReadEvent:
    if isinstance(sent.specversion, str):
        sent = _inner(sent)
    if not sent.type or sent.occurred_at is None:
        raise UnreadableError(f"{'occurred_at' if sent.type else 'type'}: is missing")
    try:
        kind = EventType(sent.type)
    except ValueError:
        raise UnreadableError(f"type: {sent.type[:40]!r} is none of {', '.join(EventType)}") from None
    machine = MACHINE_OPEN if kind is EventType.OPENED else MACHINE
    tags = sent.tags or []
    return tell(
        labels, now, kind, sent.occurred_at, sent.recipient, sent.message_id,
        url=sent.url,
        tags=[tags] if isinstance(tags, str) else tags,
        data=texts_of(sent.metadata) if isinstance(sent.metadata, dict) else None,
        machine=machine if sent.machine else None,
        ip=sent.ip if isinstance(sent.ip, str) else None,
        agent=sent.user_agent if isinstance(sent.user_agent, str) else None,
    )  # fmt: skip
