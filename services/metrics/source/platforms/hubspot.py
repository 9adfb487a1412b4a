"""Decides how HubSpot's webhooks (version 3) are trusted, and what is kept of them."""

import re
from datetime import datetime
from urllib.parse import unquote

from services.metrics.event.rules import EventType, ReadEvent, Reading
from services.metrics.source.platforms.fields import Fields
from services.metrics.source.platforms.platform import Credentials, Delivery, Platform
from services.metrics.source.platforms.signing import base64_hmac, closed, digits, recent, same
from services.metrics.source.platforms.telling import one_or_many, read_many, tell
from services.metrics.source.rules import TAGS, Labels

SIGNATURE = "x-hubspot-signature-v3"
TIMESTAMP = "x-hubspot-request-timestamp"
# What of a URL HubSpot decodes before it signs it, and nothing else.
_DECODED = re.compile("%(3A|2F|3F|40|21|24|27|28|29|2A|2C|3B)", re.IGNORECASE)


class Hubspot(Platform):
    """Base64 HMAC-SHA256 over method, URL, body and time, five minutes. What it tells is of contacts, deals and
    conversations, never of a mail, so that it counts as "unknown": kept, and in no number of mails."""

    needs = ("client_secret",)
    gives = frozenset({TAGS})

    def verify(self, credentials: Credentials, delivery: Delivery) -> bool:
        timestamp = delivery.headers.get(TIMESTAMP, "")
        # The time is signed right behind the body.
        if not digits(timestamp, 13) or not closed(delivery.body) or not recent(int(timestamp) / 1000, delivery.at):
            return False
        # And the body right behind the URL, whose end anybody can write: it begins at the first bracket.
        url = _DECODED.sub(lambda each: unquote(each[0]), delivery.url)
        if delivery.body[:1] not in (b"[", b"{") or "[" in url or "{" in url:
            return False
        signed = delivery.method.encode() + url.encode() + delivery.body + timestamp.encode()
        right = base64_hmac(credentials["client_secret"].encode(), signed)
        return same(delivery.headers.get(SIGNATURE, ""), right)

    def read(self, delivery: Delivery, labels: Labels) -> Reading:
        return read_many(delivery.body, lambda event: _event(event, labels, delivery.at), one_or_many)


def _event(event: Fields, labels: Labels, now: datetime) -> ReadEvent:
    # Its documentation has it under either name.
    word = event.text("subscriptionType", "eventType") or event.need("subscriptionType")
    occurred_at = event.epoch("occurredAt", 1000)
    about = event.text("objectId", "fromObjectId") or ""
    return tell(
        labels, now, EventType.UNKNOWN, occurred_at,
        recipient=None,
        message_id=f"{word}/{about}",
        # Its ids alone aren't said to be unique.
        key=(event.need("eventId"), event.text("subscriptionId"), word, about, occurred_at.isoformat()),
    )  # fmt: skip
