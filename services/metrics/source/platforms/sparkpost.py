"""Decides how SparkPost's webhooks are read."""

from datetime import datetime

import msgspec

from services.metrics.event.rules import MACHINE_OPEN, EventType, ReadEvent, Reading, UnreadableError
from services.metrics.source.platforms.decoding import DECODING
from services.metrics.source.platforms.fields import Fields
from services.metrics.source.platforms.platform import Delivery
from services.metrics.source.platforms.signing import BasicAuth
from services.metrics.source.platforms.telling import one_or_many, read_many, tell
from services.metrics.source.rules import Labels

TYPES = {
    "injection": EventType.QUEUED,
    "delivery": EventType.DELIVERED,
    "delay": EventType.DEFERRED,
    "bounce": EventType.BOUNCED,
    "out_of_band": EventType.BOUNCED,
    "policy_rejection": EventType.REJECTED,
    "generation_rejection": EventType.REJECTED,
    "generation_failure": EventType.FAILED,
    "open": EventType.OPENED,
    "initial_open": EventType.OPENED,
    "amp_open": EventType.OPENED,
    "amp_initial_open": EventType.OPENED,
    "click": EventType.CLICKED,
    "amp_click": EventType.CLICKED,
    "spam_complaint": EventType.COMPLAINED,
    "list_unsubscribe": EventType.UNSUBSCRIBED,
    "link_unsubscribe": EventType.UNSUBSCRIBED,
}
# What it calls a bounce and isn't one, by its class: an automatic answer, what somebody asked for by mail, a challenge.
BOUNCES = {
    "60": EventType.UNKNOWN,
    "80": EventType.SUBSCRIBED,
    "90": EventType.UNSUBSCRIBED,
    "100": EventType.UNKNOWN,
}


class _Nothing(msgspec.Struct, forbid_unknown_fields=True):
    pass


class _Ping(msgspec.Struct, forbid_unknown_fields=True):
    """What asks whether anybody is there. Of an event no more is decoded than the name of its class."""

    msys: _Nothing | None


class Sparkpost(BasicAuth):
    """An array of events, each within `msys` and the name of its class; an empty one asks whether anybody is there."""

    def read(self, delivery: Delivery, labels: Labels) -> Reading:
        return read_many(delivery.body, lambda item: _event(item, labels, delivery.at), _items)


def _items(body: bytes) -> list[msgspec.Raw]:
    return [item for item in one_or_many(body) if not _is_ping(item)]


def _is_ping(item: msgspec.Raw) -> bool:
    try:
        msgspec.json.decode(item, type=_Ping)
    except DECODING:
        return False
    return True


def _event(item: Fields, labels: Labels, now: datetime) -> ReadEvent:
    classes = item.parts("msys")
    if len(classes) != 1 or len(classes[0].values) != 1:
        raise UnreadableError("msys: isn't one event")
    event = classes[0].part(next(iter(classes[0].values)))
    word = event.need("type")
    kind = TYPES.get(word, EventType.UNKNOWN)
    if kind is EventType.BOUNCED:
        kind = BOUNCES.get(event.text("bounce_class") or "", kind)
    event_id = event.text("event_id")
    # One look at a mail loads the picture at its top and the one at its end, each an event with an id of its own. In
    # the same second they are one.
    by_id = event_id and kind is not EventType.OPENED
    fetched = event.flag("is_prefetched") or event.part("user_agent_parsed").flag("is_prefetched")
    return tell(
        labels, now, kind, event.time("timestamp"),
        recipient=event.text("rcpt_to", "raw_rcpt_to"),
        message_id=event.text("message_id", "transmission_id"),
        url=event.label("target_link_url"),
        tags=[*event.labels("campaign_id"), *event.labels("rcpt_tags")],
        data=event.data("rcpt_meta"),
        machine=MACHINE_OPEN if kind is EventType.OPENED and fetched else None,
        ip=event.label("ip_address"), agent=event.label("user_agent"),
        key=(event_id,) if by_id else (),
        stable=() if kind is EventType.OPENED else (word,),
    )  # fmt: skip
