"""Decides how Brevo's webhooks are read, single events and batches."""

import re
from contextlib import suppress
from datetime import datetime

import msgspec

from services.metrics.event.rules import EARLIEST, MACHINE_OPEN, EventType, ReadEvent, Reading
from services.metrics.source.platforms.decoding import DECODING
from services.metrics.source.platforms.fields import Fields, texts_of
from services.metrics.source.platforms.platform import Delivery
from services.metrics.source.platforms.signing import BasicAuth
from services.metrics.source.platforms.telling import OBJECT, one_or_many, read_many, tell
from services.metrics.source.rules import Labels

TYPES = {
    "request": EventType.QUEUED,
    "sent": EventType.QUEUED,
    "delivered": EventType.DELIVERED,
    "deferred": EventType.DEFERRED,
    "soft_bounce": EventType.BOUNCED,
    "hard_bounce": EventType.BOUNCED,
    "invalid_email": EventType.BOUNCED,
    "blocked": EventType.REJECTED,
    "spam": EventType.COMPLAINED,
    "complaint": EventType.COMPLAINED,
    "opened": EventType.OPENED,
    "unique_opened": EventType.OPENED,
    "proxy_open": EventType.OPENED,
    "unique_proxy_open": EventType.OPENED,
    "loaded_by_proxy": EventType.OPENED,
    "click": EventType.CLICKED,
    "unsubscribe": EventType.UNSUBSCRIBED,
    "unsubscribed": EventType.UNSUBSCRIBED,
    "list_addition": EventType.SUBSCRIBED,
    "error": EventType.FAILED,
}
# Its words have their parts joined in either way, as the events are about single mails or about mailings.
_JOINED = re.compile("(?<=[a-z])(?=[A-Z])")
BY_PROXY = frozenset({"proxy_open", "unique_proxy_open", "loaded_by_proxy"})


class Brevo(BasicAuth):
    """**Any 4xx or 5xx makes it forget the event**, 429 alone makes it come again."""

    retry_status = 429

    def read(self, delivery: Delivery, labels: Labels) -> Reading:
        return read_many(delivery.body, lambda event: _event(event, labels, delivery.at), one_or_many)


def _event(event: Fields, labels: Labels, now: datetime) -> ReadEvent:
    word = _JOINED.sub("_", event.need("event")).lower()
    people = event.texts("email")
    return tell(
        labels, now, TYPES.get(word, EventType.UNKNOWN), _time(event),
        # A contact that is deleted is told as a list of addresses.
        recipient=people[0] if len(people) == 1 else None,
        message_id=event.text("message-id"),
        url=event.label("link", "URL"),
        tags=event.labels("tags") or _tag(event),
        data=_custom(event),
        machine=MACHINE_OPEN if word in BY_PROXY else None, agent=event.label("user_agent"),
        # A first open is told twice, as "opened" and as "unique_opened": by their time these are one.
        stable=(event.label("reason"), event.label("camp_id")),
    )  # fmt: skip


def _time(event: Fields) -> datetime:
    """Of transactional mails, the one that is surely UTC: in milliseconds, but in seconds in the documentation's own
    examples. Marketing mails have the second of these, and contacts the last alone."""
    if event.text("ts_epoch"):
        occurred_at = event.epoch("ts_epoch", 1000)
        return occurred_at if occurred_at >= EARLIEST else event.epoch("ts_epoch")
    return event.epoch("ts_event" if event.text("ts_event") else "ts")


def _tag(event: Fields) -> list[str]:
    """The header's tag; several stand as JSON in that one text."""
    tags = event.labels("tag")
    with suppress(*DECODING):
        return msgspec.json.decode("".join(tags), type=list[str])
    return tags


def _custom(event: Fields) -> dict[str, str]:
    """The sender's own header: JSON from some, any text from others."""
    text = event.label("X-Mailin-custom") or ""
    with suppress(*DECODING):
        return texts_of(msgspec.json.decode(text, type=OBJECT))
    return {"X-Mailin-custom": text}
