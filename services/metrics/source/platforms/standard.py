"""Decides how a sender that follows Standard Webhooks is trusted, and what it may send."""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime, timedelta

import msgspec

from chassis.errors import Invalid
from services.metrics.event.rules import (
    MACHINE,
    MACHINE_OPEN,
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
from services.metrics.source.platforms.decoding import DECODING, items_of, members_of, read_each, reason, strict_base64

PREFIX = "whsec_"
KEY_BYTES = range(16, 65)
TOLERANCE = timedelta(minutes=5)
TYPES = {each.value: each for each in EventType}
# Svix signs in the same way under its own names.
NAMES = ("webhook", "svix")


class Sent(msgspec.Struct):
    """One event. `id` isn't listed: senders change it on retries, so it says nothing."""

    type: str
    occurred_at: datetime
    recipient: str | None = None
    message_id: str | None = None
    url: str | None = None
    tags: list[str] | None = None
    machine: bool | None = None


class Posted(msgspec.Struct):
    """What tells a batch from an event; empty where it wasn't sent."""

    type: msgspec.Raw = msgspec.Raw()
    events: msgspec.Raw = msgspec.Raw()


class Standard:
    """HMAC-SHA256 over `id.timestamp.body`, not older or newer than five minutes (standardwebhooks.com)."""

    needs: tuple[str, ...] = ("signing_secret",)
    retry_status = 503

    def check(self, credentials: Mapping[str, str]) -> None:
        if _key(credentials["signing_secret"]) is None:
            raise Invalid.field("credentials.signing_secret", "not whsec_ and then base64 of 16 to 64 bytes")

    def verify(self, credentials: Mapping[str, str], headers: Mapping[str, str], body: bytes, now: datetime) -> bool:
        key = _key(credentials["signing_secret"])
        name = next((name for name in NAMES if f"{name}-signature" in headers), None)
        if key is None or name is None:
            return False
        message_id, timestamp = headers.get(f"{name}-id", ""), headers.get(f"{name}-timestamp", "")
        # A full stop inside would let text move between the id, the time and the body under one signature.
        if not message_id or "." in message_id or not (message_id + timestamp).isascii() or not timestamp.isdigit():
            return False
        if len(timestamp) > 12 or abs(now.timestamp() - int(timestamp)) > TOLERANCE.total_seconds():
            return False
        signed = b".".join((message_id.encode(), timestamp.encode(), body))
        right = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        given = headers[f"{name}-signature"].split(" ")
        return any(hmac.compare_digest(each.encode(), right.encode()) for each in given)

    def read(self, body: bytes, now: datetime) -> Reading:
        try:
            items = _items(body)
        except (UnreadableError, *DECODING) as problem:
            return Reading([], [Unreadable(body, reason(problem))])
        return read_each(items, Sent, lambda sent: _read(sent, now))


def _key(secret: str) -> bytes | None:
    key = strict_base64(secret.removeprefix(PREFIX)) if secret.startswith(PREFIX) else None
    return key if key is not None and len(key) in KEY_BYTES else None


def _items(body: bytes) -> list[msgspec.Raw]:
    """A bare array, `{"events": [...]}`, or one event."""
    if body.lstrip()[:1] == b"[":
        return items_of(body)
    try:
        posted = msgspec.json.decode(body, type=Posted)
        events, kind = bytes(posted.events), bytes(posted.type)
    except DECODING:
        # An event among them that can't be decoded: it is told from the others all the same.
        members = members_of(body)
        if members is None:
            raise
        events, kind = members.get("events", b""), members.get("type", b"")
    return items_of(events) if events and not kind else [msgspec.Raw(body)]


def _read(sent: Sent, now: datetime) -> ReadEvent:
    kind = TYPES.get(sent.type)
    if kind is None:
        raise UnreadableError(f"type: {sent.type[:40]!r} is none of {', '.join(EventType)}")
    recipient = clean_recipient(sent.recipient)
    message_id = clean("message_id", sent.message_id, MOST_MESSAGE_ID)
    url = clean("url", sent.url, MOST_URL)
    occurred_at = plausible(sent.occurred_at, now)
    machine = MACHINE_OPEN if kind is EventType.OPENED else MACHINE
    verdict, reasons = judge(kind, machine if sent.machine else None)
    return ReadEvent(
        key=identity(kind.value, recipient, message_id, occurred_at.isoformat(), url),
        type=kind,
        recipient=recipient,
        message_id=message_id,
        url=url,
        tags=clean_tags(sent.tags or []),
        occurred_at=occurred_at,
        verdict=verdict,
        reasons=reasons,
    )
