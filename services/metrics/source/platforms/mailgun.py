"""Decides how Mailgun's webhooks are trusted and read, the JSON ones and the legacy forms."""

import hashlib
import json
from collections.abc import Iterable
from datetime import datetime, timedelta

import msgspec

from services.metrics.event.rules import MACHINE, MACHINE_OPEN, EventType, ReadEvent, Reading, UnreadableError
from services.metrics.source.platforms.decoding import DECODING, whole
from services.metrics.source.platforms.fields import Fields, texts_of
from services.metrics.source.platforms.forms import Form, first, form_of, last
from services.metrics.source.platforms.platform import Claim, Credentials, Delivery, Platform
from services.metrics.source.platforms.signing import digits, hex_hmac, recent, same
from services.metrics.source.platforms.telling import object_of, read_whole, tell
from services.metrics.source.rules import Labels

# It sends again for eight hours.
OLDEST = timedelta(hours=24)
TYPES = {
    "accepted": EventType.QUEUED,
    "delivered": EventType.DELIVERED,
    "opened": EventType.OPENED,
    "clicked": EventType.CLICKED,
    "complained": EventType.COMPLAINED,
    "unsubscribed": EventType.UNSUBSCRIBED,
    "rejected": EventType.REJECTED,
    # Legacy alone.
    "bounced": EventType.BOUNCED,
    "dropped": EventType.REJECTED,
}


class _Signed(msgspec.Struct):
    timestamp: str | int
    token: str
    signature: str


class _Posted(msgspec.Struct):
    signature: _Signed


class Mailgun(Platform):
    """Hex HMAC-SHA256 over a timestamp and a token that stand in the body. **What happened isn't signed**: whoever has
    seen one post could write any event under its signature. So each token is good for the body it first came with."""

    needs = ("signing_key",)
    stop_status = 406

    def verify(self, credentials: Credentials, delivery: Delivery) -> bool:
        signed = _signature(delivery)
        if signed is None:
            return False
        timestamp, token, signature = signed
        # Nothing stands between the two, so each has its length: a digit moved from one to the other would make a new
        # token of an old signature.
        if not digits(timestamp, 10) or not (token.isascii() and token.isalnum() and len(token) <= 100):
            return False
        right = hex_hmac(credentials["signing_key"], timestamp.encode(), token.encode())
        return same(signature, right) and recent(int(timestamp), delivery.at, OLDEST)

    def claim(self, delivery: Delivery) -> Claim | None:
        signed = _signature(delivery)
        if signed is None:
            return None
        body = delivery.body
        if not _is_json(body):
            # A multipart form sent again has another boundary; what it says is the same.
            body = json.dumps(sorted(form_of(delivery))).encode()
        return Claim(*(hashlib.sha256(each).digest() for each in ((signed[0] + signed[1]).encode(), body)))

    def read(self, delivery: Delivery, labels: Labels) -> Reading:
        def read() -> Iterable[ReadEvent]:
            if _is_json(delivery.body):
                yield _event(object_of(delivery.body).part("event-data"), labels, delivery.at)
            else:
                yield _legacy(form_of(delivery), labels, delivery.at)

        return read_whole(delivery.body, read)


def _is_json(body: bytes) -> bool:
    return body.lstrip()[:1] == b"{"


def _signature(delivery: Delivery) -> tuple[str, str, str] | None:
    try:
        if _is_json(delivery.body):
            signed = whole(delivery.body, _Posted).signature
            return str(signed.timestamp), signed.token, signed.signature
        form = form_of(delivery)
    except (UnreadableError, *DECODING):
        return None
    # A sender's own variable of such a name comes before Mailgun's.
    return last(form, "timestamp") or "", last(form, "token") or "", last(form, "signature") or ""


def _event(event: Fields, labels: Labels, now: datetime) -> ReadEvent:
    word = event.need("event")
    occurred_at = event.epoch("timestamp")
    kind = _failure(event) if word == "failed" else TYPES.get(word, EventType.UNKNOWN)
    event_id = event.text("id")
    client, headers = event.part("client-info"), event.part("message").part("headers")
    return tell(
        labels, now, kind, occurred_at,
        recipient=event.text("recipient") or _only(headers.texts("to")),
        message_id=headers.text("message-id"),
        url=event.label("url"),
        tags=event.labels("tags"),
        data=event.data("user-variables"),
        # Of clicks too, which a firewall makes.
        machine=(MACHINE_OPEN if kind is EventType.OPENED else MACHINE) if client.label("bot") else None,
        ip=event.label("ip"), agent=client.label("user-agent"),
        # Its ids come round again on another day.
        key=(event_id, occurred_at.date().isoformat()) if event_id else (),
        stable=(word, event.label("ip"), client.label("user-agent")),
    )  # fmt: skip


def _failure(event: Fields) -> EventType:
    """Nothing bounces that Mailgun itself held back, because it had before or somebody had complained or left."""
    if (event.label("reason") or "").startswith("suppress-"):
        return EventType.REJECTED
    return EventType.DEFERRED if event.text("severity") == "temporary" else EventType.BOUNCED


def _only(to: list[str]) -> str | None:
    """Whom the mail's own header names, if that is one person: of what it rejects it says no more."""
    return to[0] if len(to) == 1 and to[0].count("@") == 1 else None


def _legacy(form: Form, labels: Labels, now: datetime) -> ReadEvent:
    word = first(form, "event")
    if word is None:
        raise UnreadableError("event: is missing")
    occurred_at = Fields({"timestamp": last(form, "timestamp")}).epoch("timestamp")
    tags = [value for name, value in form if name == "tag"] or [v for name, v in form if name == "X-Mailgun-Tag"]
    return tell(
        labels, now, TYPES.get(word, EventType.UNKNOWN), occurred_at,
        recipient=first(form, "recipient"),
        message_id=(first(form, "Message-Id") or first(form, "message-id") or "").strip("<>"),
        url=first(form, "url"),
        tags=tags,
        data=texts_of(dict(form)),
        ip=first(form, "ip"), agent=first(form, "user-agent"),
        stable=(word, first(form, "ip"), first(form, "user-agent")),
    )  # fmt: skip
