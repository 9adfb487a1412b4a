"""Decides how SendGrid's event webhook is trusted and read."""

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from chassis.errors import Invalid
from services.metrics.event.rules import (
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
    moment,
    plausible,
)
from services.metrics.source.platforms.decoding import DECODING, items_of, read_each, reason, strict_base64

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
    """The fields that are read; custom arguments stand beside them and are passed over."""

    event: str
    email: str
    timestamp: int | float
    sg_message_id: str | None = None
    url: str | None = None
    useragent: str | None = None
    ip: str | None = None
    category: str | list[str] | None = None
    sg_machine_open: bool | None = None


@lru_cache(maxsize=256)
def _public_key(text: str) -> EllipticCurvePublicKey | None:
    der = strict_base64(text)
    try:
        key = load_der_public_key(der) if der else None
    except (ValueError, UnsupportedAlgorithm):
        return None
    return key if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1) else None


class Sendgrid:
    """ECDSA P-256 over the timestamp header and the body. No age limit: a retry after a day keeps its signature."""

    needs: tuple[str, ...] = ("public_key",)
    retry_status = 503

    def check(self, credentials: Mapping[str, str]) -> None:
        if _public_key(credentials["public_key"]) is None:
            raise Invalid.field(
                "credentials.public_key",
                "not the verification key that SendGrid shows: base64 of a DER public key on the curve P-256",
            )

    def verify(self, credentials: Mapping[str, str], headers: Mapping[str, str], body: bytes, now: datetime) -> bool:
        timestamp = headers.get(TIMESTAMP, "")
        signature = strict_base64(headers.get(SIGNATURE, ""))
        key = _public_key(credentials["public_key"])
        # What is signed has no mark between timestamp and body. A digit moved from one to the other would leave the
        # signature valid, so the timestamp is digits alone and the body begins with none.
        if not signature or key is None or not _digits(timestamp) or body[:1].isdigit():
            return False
        try:
            key.verify(signature, timestamp.encode() + body, ECDSA(SHA256()))
        except InvalidSignature:
            return False
        return True

    def read(self, body: bytes, now: datetime) -> Reading:
        try:
            items = items_of(body)
        except (UnreadableError, *DECODING) as problem:
            return Reading([], [Unreadable(body, reason(problem))])
        return read_each(items, Sent, lambda sent: _read(sent, now))


def _digits(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _read(sent: Sent, now: datetime) -> ReadEvent:
    recipient = clean_recipient(sent.email)
    if recipient is None:
        raise UnreadableError("email: is empty")
    message_id = clean("sg_message_id", sent.sg_message_id, MOST_MESSAGE_ID)
    url = clean("url", sent.url, MOST_URL)
    occurred_at = plausible(moment(sent.timestamp), now)
    kind = TYPES.get(sent.event, EventType.UNKNOWN)
    verdict, reasons = judge(kind, MACHINE_OPEN if sent.sg_machine_open else None)
    category = sent.category or []
    return ReadEvent(
        # Not sg_event_id: it is another one on each retry.
        key=identity(
            sent.event, message_id, recipient, occurred_at.isoformat(), url, sent.useragent or None, sent.ip or None
        ),
        type=kind,
        recipient=recipient,
        message_id=message_id,
        url=url,
        tags=clean_tags([category] if isinstance(category, str) else category),
        occurred_at=occurred_at,
        verdict=verdict,
        reasons=reasons,
    )
