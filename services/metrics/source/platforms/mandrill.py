"""Decides how Mandrill's webhooks are trusted and read."""

from datetime import UTC, datetime
from urllib.parse import urlencode

from services.metrics.event.rules import EventType, ReadEvent, Reading, Unreadable, UnreadableError
from services.metrics.source.platforms.decoding import reason
from services.metrics.source.platforms.fields import Fields
from services.metrics.source.platforms.forms import Form, form_of
from services.metrics.source.platforms.platform import Credentials, Delivery, Platform
from services.metrics.source.platforms.signing import base64_hmac, same
from services.metrics.source.platforms.telling import one_or_many, read_many, tell
from services.metrics.source.rules import Labels

SIGNATURE = "x-mandrill-signature"
FIELD = "mandrill_events"
TYPES = {
    "send": EventType.SENT,
    "delivered": EventType.DELIVERED,
    "deferral": EventType.DEFERRED,
    "hard_bounce": EventType.BOUNCED,
    "soft_bounce": EventType.BOUNCED,
    "reject": EventType.REJECTED,
    "open": EventType.OPENED,
    "click": EventType.CLICKED,
    "spam": EventType.COMPLAINED,
    "unsub": EventType.UNSUBSCRIBED,
}


class Mandrill(Platform):
    """Base64 HMAC-SHA1 over the URL as it was pasted there and the form's names and values. Its HEAD check comes before
    there is a key, so that a source of it is made without one at first."""

    needs = ("webhook_key",)
    greetings = frozenset({"HEAD"})

    def verify(self, credentials: Credentials, delivery: Delivery) -> bool:
        form = _form(delivery)
        # The name of the field stands right behind the URL, whose end anybody can write.
        if form is None or FIELD in delivery.url:
            return False
        signed = delivery.url + "".join(name + value for name, value in form)
        right = base64_hmac(credentials["webhook_key"].encode(), signed.encode(), "sha1")
        return same(delivery.headers.get(SIGNATURE, ""), right)

    def again(self, payload: bytes) -> bytes:
        found = super().again(payload)
        return urlencode({FIELD: found.decode("utf-8", "replace")}).encode() if found[:1] in (b"{", b"[") else found

    def read(self, delivery: Delivery, labels: Labels) -> Reading:
        ((_, events),) = _form(delivery) or [("", "")]
        try:
            body = events.encode()
        except UnicodeEncodeError as problem:
            return Reading([], [Unreadable(delivery.body, reason(problem))])
        return read_many(body, lambda event: _event(event, labels, delivery.at), one_or_many)


def _form(delivery: Delivery) -> Form | None:
    """The form, if it is the one field that Mandrill sends: names and values are signed without a mark between them, so
    that of several some could be cut elsewhere."""
    try:
        form = form_of(delivery)
    except UnreadableError:
        return None
    return form if [name for name, _ in form] == [FIELD] else None


def _event(event: Fields, labels: Labels, now: datetime) -> ReadEvent:
    message, listed = event.part("msg"), event.part("reject" if "reject" in event.values else "entry")
    word = event.text("event") or ""
    return tell(
        labels, now, TYPES.get(word, EventType.UNKNOWN), _time(event, listed),
        recipient=message.text("email") or listed.text("email"),
        message_id=message.text("_id") or event.text("_id"),
        url=event.label("url"),
        tags=message.labels("tags"),
        data=message.data("metadata"),
        ip=event.label("ip"), agent=event.label("user_agent"),
        stable=(word or event.text("type"), event.text("action"), event.label("ip"), event.label("user_agent")),
    )  # fmt: skip


def _time(event: Fields, listed: Fields) -> datetime:
    """When it happened. What it tells of its lists may have the entry's time alone, in UTC."""
    if event.text("ts") or not listed.values:
        return event.epoch("ts")
    told = listed.time("last_event_at" if listed.text("last_event_at") else "created_at")
    return told if told.tzinfo else told.replace(tzinfo=UTC)
