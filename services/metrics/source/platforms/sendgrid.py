"""Decides how SendGrid's event webhook is trusted and read."""

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from chassis.errors import Invalid
from services.metrics.event.rules import (
    MACHINE_OPEN,
    EventType,
    ReadEvent,
    Reading,
    Unreadable,
    UnreadableError,
    moment,
)
from services.metrics.source.platforms.decoding import DECODING, read_each, reason, strict_base64
from services.metrics.source.platforms.fields import YES, Fields, labels_of, texts_of
from services.metrics.source.platforms.platform import Credentials, Delivery, Platform
from services.metrics.source.platforms.signing import digits
from services.metrics.source.platforms.telling import OBJECT, one_or_many, tell
from services.metrics.source.rules import Labels

SIGNATURE = "x-twilio-email-event-webhook-signature"
TIMESTAMP = "x-twilio-email-event-webhook-timestamp"

TYPES = {
    "processed": EventType.QUEUED,
    "delivered": EventType.DELIVERED,
    "deferred": EventType.DEFERRED,
    "dropped": EventType.REJECTED,
    "bounce": EventType.BOUNCED,
    "open": EventType.OPENED,
    "click": EventType.CLICKED,
    "spamreport": EventType.COMPLAINED,
    "unsubscribe": EventType.UNSUBSCRIBED,
    "group_unsubscribe": EventType.UNSUBSCRIBED,
    "group_resubscribe": EventType.SUBSCRIBED,
}


class Sent(msgspec.Struct):
    """The fields that are read; custom arguments stand beside them and are passed over. What only describes an event
    may be anything: its sender can have given an argument of their own the same name."""

    event: str
    timestamp: int | float | str
    email: str | None = None
    sg_message_id: str | None = None
    url: Any = None
    useragent: Any = None
    ip: Any = None
    category: Any = None
    sg_machine_open: Any = None


@lru_cache(maxsize=256)
def _public_key(text: str) -> EllipticCurvePublicKey | None:
    der = strict_base64(text)
    try:
        key = load_der_public_key(der) if der else None
    except (ValueError, UnsupportedAlgorithm):
        return None
    return key if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1) else None


class Sendgrid(Platform):
    """ECDSA P-256 over the timestamp header and the body. No age limit: a retry after a day keeps its signature."""

    needs = ("public_key",)

    def check(self, credentials: Credentials) -> None:
        if _public_key(credentials["public_key"]) is None:
            raise Invalid.field(
                "credentials.public_key",
                "not the verification key that SendGrid shows: base64 of a DER public key on the curve P-256",
            )

    def verify(self, credentials: Credentials, delivery: Delivery) -> bool:
        timestamp, body = delivery.headers.get(TIMESTAMP, ""), delivery.body
        signature = strict_base64(delivery.headers.get(SIGNATURE, ""))
        key = _public_key(credentials["public_key"])
        # What is signed has no mark between timestamp and body. A digit moved from one to the other would leave the
        # signature valid, so the timestamp is digits alone and the body begins with none.
        if not signature or key is None or not digits(timestamp) or body[:1].isdigit():
            return False
        try:
            key.verify(signature, timestamp.encode() + body, ECDSA(SHA256()))
        except InvalidSignature:
            return False
        return True

    def read(self, delivery: Delivery, labels: Labels) -> Reading:
        now = delivery.at
        try:
            items = one_or_many(delivery.body)
        except (UnreadableError, *DECODING) as problem:
            return Reading([], [Unreadable(delivery.body, reason(problem))])
        if labels.wants_data:
            # Custom arguments stand beside its own fields, and cost something to be looked at.
            return read_each(
                items, OBJECT, lambda sent: _read(msgspec.convert(sent, Sent), texts_of(sent), labels, now)
            )
        return read_each(items, Sent, lambda sent: _read(sent, {}, labels, now))


def _time(timestamp: float | str) -> datetime:
    if isinstance(timestamp, str):
        return Fields({"timestamp": timestamp}).epoch("timestamp")
    return moment(timestamp)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _read(sent: Sent, data: Mapping[str, str], labels: Labels, now: datetime) -> ReadEvent:
    kind = TYPES.get(sent.event, EventType.UNKNOWN)
    # What it tells of the account itself is about nobody.
    if kind is not EventType.UNKNOWN and not (sent.email or "").strip():
        raise UnreadableError("email: is missing")
    agent, ip = _text(sent.useragent), _text(sent.ip)
    return tell(
        labels, now, kind, _time(sent.timestamp), sent.email, sent.sg_message_id,
        url=_text(sent.url),
        tags=labels_of(sent.category),
        data=data,
        machine=MACHINE_OPEN if sent.sg_machine_open in YES else None, ip=ip, agent=agent,
        # Not sg_event_id: it is another one on each retry.
        stable=(sent.event, agent, ip),
    )  # fmt: skip
