"""Decides how Mailjet's webhooks are read."""

from contextlib import suppress
from datetime import datetime

import msgspec

from services.metrics.event.rules import EventType, ReadEvent, Reading
from services.metrics.source.platforms.decoding import DECODING
from services.metrics.source.platforms.fields import Fields, texts_of
from services.metrics.source.platforms.platform import Delivery
from services.metrics.source.platforms.signing import BasicAuth
from services.metrics.source.platforms.telling import OBJECT, one_or_many, read_many, tell
from services.metrics.source.rules import Labels

TYPES = {
    # It says "sent" once the other side has taken the message.
    "sent": EventType.DELIVERED,
    "open": EventType.OPENED,
    "click": EventType.CLICKED,
    "bounce": EventType.BOUNCED,
    "blocked": EventType.REJECTED,
    "spam": EventType.COMPLAINED,
    "unsub": EventType.UNSUBSCRIBED,
}


class Mailjet(BasicAuth):
    """An array, or one event by itself. Anything but 200 makes it come again."""

    def read(self, delivery: Delivery, labels: Labels) -> Reading:
        return read_many(delivery.body, lambda event: _event(event, labels, delivery.at), one_or_many)


def _event(event: Fields, labels: Labels, now: datetime) -> ReadEvent:
    word = event.need("event")
    return tell(
        labels, now, TYPES.get(word, EventType.UNKNOWN), event.epoch("time"),
        recipient=event.text("email"),
        message_id=event.text("MessageID", "Message_GUID"),
        url=event.label("url"),
        tags=event.labels("customcampaign"),
        data=_data(event),
        ip=event.label("ip"), agent=event.label("agent"),
        stable=(word, event.label("ip"), event.label("agent")),
    )  # fmt: skip


def _data(event: Fields) -> dict[str, str]:
    """The sender's own id and payload; of a payload that is a JSON object, its members too."""
    found = {name: value for name in ("CustomID", "Payload") if (value := event.label(name))}
    with suppress(*DECODING):
        found |= texts_of(msgspec.json.decode(found.get("Payload", ""), type=OBJECT))
    return found
