"""Decides how Resend's webhooks are read; Svix signs them."""

from collections.abc import Iterable
from datetime import datetime

from services.metrics.event.rules import EventType, ReadEvent, Reading
from services.metrics.source.platforms.fields import Fields
from services.metrics.source.platforms.platform import Delivery
from services.metrics.source.platforms.standardwebhooks import StandardWebhooks, message_id_of
from services.metrics.source.platforms.telling import object_of, read_whole, tell
from services.metrics.source.rules import Labels

TYPES = {
    "email.scheduled": EventType.QUEUED,
    "email.sent": EventType.SENT,
    "email.delivered": EventType.DELIVERED,
    "email.delivery_delayed": EventType.DEFERRED,
    "email.bounced": EventType.BOUNCED,
    "email.suppressed": EventType.REJECTED,
    "email.complained": EventType.COMPLAINED,
    "email.opened": EventType.OPENED,
    "email.clicked": EventType.CLICKED,
    "email.failed": EventType.FAILED,
}


class Resend(StandardWebhooks):
    """One event a post, whose id is the same on each retry and replay."""

    def read(self, delivery: Delivery, labels: Labels) -> Reading:
        def read() -> Iterable[ReadEvent]:
            yield _event(object_of(delivery.body), message_id_of(delivery), labels, delivery.at)

        return read_whole(delivery.body, read)


def _event(event: Fields, post_id: str, labels: Labels, now: datetime) -> ReadEvent:
    told = event.part("data")
    to = [each for name in ("to", "cc", "bcc") for each in told.texts(name)] or told.texts("email")
    act = told.part("click" if "click" in told.values else "open")
    tags = _tags(told)
    return tell(
        labels, now, TYPES.get(event.need("type"), EventType.UNKNOWN), event.time("created_at"),
        # Of a mail to several it isn't told who of them it was.
        recipient=to[0] if len(to) == 1 else None,
        message_id=told.text("email_id"),
        url=act.label("link"),
        tags=list(tags.values()),
        data=tags,
        ip=act.label("ipAddress"), agent=act.label("userAgent"),
        key=(post_id,),
    )  # fmt: skip


def _tags(told: Fields) -> dict[str, str]:
    """Names and values, sent as an object or as an array of both."""
    pairs = {each.label("name"): each.label("value") for each in told.parts("tags")}
    return {name: value for name, value in pairs.items() if name and value} or told.data("tags")
