"""Decides how Postmark's webhooks are read."""

from datetime import datetime

from services.metrics.event.rules import EventType, ReadEvent, Reading
from services.metrics.source.platforms.fields import Fields
from services.metrics.source.platforms.platform import Delivery
from services.metrics.source.platforms.signing import BasicAuth
from services.metrics.source.platforms.telling import one_or_many, read_many, tell
from services.metrics.source.rules import Labels

# What is told, and in which field its time stands.
RECORDS = {
    "Delivery": (EventType.DELIVERED, "DeliveredAt"),
    "Bounce": (EventType.BOUNCED, "BouncedAt"),
    "Open": (EventType.OPENED, "ReceivedAt"),
    "Click": (EventType.CLICKED, "ReceivedAt"),
    "SpamComplaint": (EventType.COMPLAINED, "BouncedAt"),
    "SubscriptionChange": (EventType.UNKNOWN, "ChangedAt"),
}
# What it calls a bounce and isn't one. All others are.
BOUNCES = {
    "Transient": EventType.DEFERRED,
    "SpamNotification": EventType.COMPLAINED,
    "SpamComplaint": EventType.COMPLAINED,
    "Unsubscribe": EventType.UNSUBSCRIBED,
    "Subscribe": EventType.SUBSCRIBED,
    "AutoResponder": EventType.UNKNOWN,
    "AddressChange": EventType.UNKNOWN,
    "OpenRelayTest": EventType.UNKNOWN,
    "ChallengeVerification": EventType.UNKNOWN,
    "ManuallyDeactivated": EventType.REJECTED,
    "TemplateRenderingFailed": EventType.FAILED,
    "SMTPApiError": EventType.FAILED,
    "InboundError": EventType.UNKNOWN,
}
TIMES = ("ReceivedAt", "DeliveredAt", "BouncedAt", "ChangedAt")


class Postmark(BasicAuth):
    """Known by a user name and a password in its URL. 403 makes it stop for good, so it never gets that by mistake."""

    stop_status = 403

    def read(self, delivery: Delivery, labels: Labels) -> Reading:
        return read_many(delivery.body, lambda record: _event(record, labels, delivery.at), one_or_many)


def _event(record: Fields, labels: Labels, now: datetime) -> ReadEvent:
    word = record.need("RecordType")
    fallback = next((name for name in TIMES if record.text(name)), TIMES[0])
    kind, time = RECORDS.get(word, (EventType.UNKNOWN, fallback))
    if word == "Bounce":
        kind = BOUNCES.get(record.text("Type") or "", kind)
    if word == "SubscriptionChange":
        kind = _subscription(record)
    bounce = record.text("ID") if word in ("Bounce", "SpamComplaint") else None
    return tell(
        labels, now, kind, record.time(time),
        recipient=record.text("Recipient", "Email"),
        message_id=record.text("MessageID"),
        url=record.label("OriginalLink"),
        tags=record.labels("Tag"),
        data=record.data("Metadata"),
        ip=record.part("Geo").label("IP"), agent=record.label("UserAgent"),
        key=(word, bounce) if bounce else (),
        stable=(word, record.label("UserAgent"), record.part("Geo").label("IP")),
    )  # fmt: skip


def _subscription(record: Fields) -> EventType:
    if not record.flag("SuppressSending"):
        return EventType.SUBSCRIBED
    # After a bounce or a complaint, which are told by themselves, nobody has asked for anything.
    own_will = record.text("SuppressionReason") in (None, "ManualSuppression")
    return EventType.UNSUBSCRIBED if own_will else EventType.UNKNOWN
