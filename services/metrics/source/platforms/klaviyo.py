"""Decides how Klaviyo's system webhooks are trusted and read."""

from datetime import datetime

import msgspec

from services.metrics.event.rules import EventType, ReadEvent, Reading
from services.metrics.source.platforms.decoding import DECODING, items_of, whole
from services.metrics.source.platforms.fields import Fields
from services.metrics.source.platforms.platform import Credentials, Delivery, Platform
from services.metrics.source.platforms.signing import closed, hex_hmac, same
from services.metrics.source.platforms.telling import read_many, tell
from services.metrics.source.rules import Labels

SIGNATURE, TIMESTAMP, WEBHOOK = "klaviyo-signature", "klaviyo-timestamp", "klaviyo-webhook-id"
TYPES = {
    "received_email": EventType.SENT,
    "email_delivered": EventType.DELIVERED,
    "opened_email": EventType.OPENED,
    "clicked_email": EventType.CLICKED,
    "bounced_email": EventType.BOUNCED,
    "dropped_email": EventType.REJECTED,
    "marked_email_as_spam": EventType.COMPLAINED,
    "unsubscribed_from_email_marketing": EventType.UNSUBSCRIBED,
    "unsubscribed_from_list": EventType.UNSUBSCRIBED,
    "subscribed_to_email_marketing": EventType.SUBSCRIBED,
    "subscribed_to_list": EventType.SUBSCRIBED,
}


class _Meta(msgspec.Struct):
    klaviyo_webhook_id: str


class _Posted(msgspec.Struct):
    meta: _Meta


class _Told(msgspec.Struct):
    data: msgspec.Raw


class Klaviyo(Platform):
    """Hex HMAC-SHA256 over the body and the time header; the webhook's id in the body is the header's. It says of no
    age limit."""

    needs = ("signing_secret",)

    def verify(self, credentials: Credentials, delivery: Delivery) -> bool:
        timestamp, webhook = delivery.headers.get(TIMESTAMP, ""), delivery.headers.get(WEBHOOK, "")
        # The time is signed right behind the body, so it neither begins nor goes on like one.
        if not timestamp or set(timestamp) & set("{}[]\"'") or not webhook or not closed(delivery.body):
            return False
        right = hex_hmac(credentials["signing_secret"], delivery.body, timestamp.encode())
        if not same(delivery.headers.get(SIGNATURE, ""), right):
            return False
        try:
            return whole(delivery.body, _Posted).meta.klaviyo_webhook_id == webhook
        except DECODING:
            return False

    def again(self, payload: bytes) -> bytes:
        found = super().again(payload)
        return found if b'"data"' in found[:20] or found[:1] not in b"{[" else b'{"data":' + found + b"}"

    def read(self, delivery: Delivery, labels: Labels) -> Reading:
        return read_many(delivery.body, lambda event: _event(event, labels, delivery.at), _items)


def _items(body: bytes) -> list[msgspec.Raw]:
    data = bytes(whole(body, _Told).data)
    return items_of(data) if data[:1] == b"[" else [msgspec.Raw(data)]


def _event(item: Fields, labels: Labels, now: datetime) -> ReadEvent:
    # "event:klaviyo.opened_email" in one place of its documentation, "event: opened_email" in another.
    word = item.need("topic").rpartition(":")[2].strip().removeprefix("klaviyo.")
    # Its API wraps a resource in `data`, with what belongs to it beside.
    payload = item.part("payload")
    told = payload.part("data").part("attributes")
    about, time = told.part("event_properties"), "datetime" if told.text("datetime") else "timestamp"
    people = [each.part("attributes") for each in payload.parts("included") if each.text("type") == "profile"]
    return tell(
        labels, now, TYPES.get(word, EventType.UNKNOWN), told.time(time),
        recipient=about.text("Recipient Email Address") or next((each.text("email") for each in people), None),
        message_id=about.text("$message", "Message Name"),
        url=about.label("URL"),
        tags=about.labels("Campaign Name"),
        data=told.data("event_properties"),
        key=(item.need("external_id"),),
    )  # fmt: skip
