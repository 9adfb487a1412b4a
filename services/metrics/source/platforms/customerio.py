"""Decides how Customer.io's reporting webhooks are trusted and read."""

from datetime import datetime

from services.metrics.event.rules import MACHINE_OPEN, EventType, ReadEvent, Reading
from services.metrics.source.platforms.fields import Fields
from services.metrics.source.platforms.platform import Credentials, Delivery, Platform
from services.metrics.source.platforms.signing import digits, hex_hmac, same
from services.metrics.source.platforms.telling import one_or_many, read_many, tell
from services.metrics.source.rules import Labels

SIGNATURE, TIMESTAMP = "x-cio-signature", "x-cio-timestamp"
TYPES = {
    "sent": EventType.SENT,
    "delivered": EventType.DELIVERED,
    "deferred": EventType.DEFERRED,
    # It couldn't be handed on, and is tried again.
    "attempted": EventType.DEFERRED,
    "bounced": EventType.BOUNCED,
    "opened": EventType.OPENED,
    "clicked": EventType.CLICKED,
    "unsubscribed": EventType.UNSUBSCRIBED,
    "subscribed": EventType.SUBSCRIBED,
    "spammed": EventType.COMPLAINED,
    "dropped": EventType.REJECTED,
    # Never sent: the person has left, or has had as many mails as they may get.
    "undeliverable": EventType.REJECTED,
    "failed": EventType.FAILED,
}


class Customerio(Platform):
    """Hex HMAC-SHA256 over `v0:time:body`; no age limit, as it sends again for a week. One post that fails holds up all
    behind it, so that whatever is authentic is taken, readable or not."""

    needs = ("signing_key",)

    def verify(self, credentials: Credentials, delivery: Delivery) -> bool:
        timestamp = delivery.headers.get(TIMESTAMP, "")
        if not digits(timestamp):
            return False
        right = hex_hmac(credentials["signing_key"], b"v0:", timestamp.encode(), b":", delivery.body)
        return same(delivery.headers.get(SIGNATURE, ""), right)

    def read(self, delivery: Delivery, labels: Labels) -> Reading:
        return read_many(delivery.body, lambda event: _event(event, labels, delivery.at), one_or_many)


def _event(event: Fields, labels: Labels, now: datetime) -> ReadEvent:
    # Of pushes and texts it tells in the same words; only who wants mail at all is told of the person.
    mail = event.text("object_type") in (None, "email", "customer")
    kind = TYPES.get(event.need("metric"), EventType.UNKNOWN) if mail else EventType.UNKNOWN
    told = event.part("data")
    ids = [told.label(name) for name in ("campaign_id", "broadcast_id", "newsletter_id", "transactional_message_id")]
    return tell(
        labels, now, kind, event.epoch("timestamp"),
        recipient=told.text("recipient", "email_address") or told.part("identifiers").text("email"),
        message_id=told.text("delivery_id"),
        url=told.label("href", "link"),
        tags=[each for each in ids if each],
        data=told.data("trigger_event") | {
            name: value for name in ("campaign_id", "broadcast_id", "newsletter_id", "action_id", "content_id")
            if (value := told.label(name))
        },
        machine=MACHINE_OPEN if kind is EventType.OPENED and told.flag("prefetched") else None,
        key=(event.need("event_id"),),
    )  # fmt: skip
