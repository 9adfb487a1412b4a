"""Decides what each number means: a catalogue of versioned definitions over counted events."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from chassis.errors import NotFound


class MetricUnit(StrEnum):
    COUNT = "count"
    PERCENT = "percent"


class MetricDirection(StrEnum):
    """Where better is."""

    UP = "up"
    DOWN = "down"


class BotPolicy(StrEnum):
    """Whether what machines did counts too."""

    COUNTED = "counted"
    LEFT_OUT = "left_out"


@dataclass(frozen=True)
class Measure:
    """What is counted: events of these types, or distinct (recipient, message) pairs that were opened."""

    words: str
    types: frozenset[str] = frozenset()

    @property
    def distinct(self) -> bool:
        return not self.types


# No platform tells both "queued" and "sent" of one message, so together they count messages that were sent.
MEASURES: Mapping[str, Measure] = {
    "sends": Measure("messages that the platform took on", frozenset({"queued", "sent"})),
    "deliveries": Measure("messages that a recipient's server accepted", frozenset({"delivered"})),
    "deferrals": Measure("times that a recipient's server asked to try later", frozenset({"deferred"})),
    "bounces": Measure("messages that a recipient's server refused", frozenset({"bounced"})),
    "rejections": Measure("messages that the platform didn't send", frozenset({"rejected", "failed"})),
    "opens": Measure("times that a message was displayed", frozenset({"opened"})),
    "clicks": Measure("times that a link was clicked", frozenset({"clicked"})),
    "complaints": Measure("times that a message was reported as spam", frozenset({"complained"})),
    "unsubscribes": Measure("times that a recipient unsubscribed", frozenset({"unsubscribed"})),
    "subscribes": Measure("times that a recipient subscribed", frozenset({"subscribed"})),
    "unique_recipient_impressions": Measure(
        "distinct pairs of recipient and message that were displayed, however often; an event that names no recipient"
        " is in none"
    ),
}
# What only a person or a machine in a person's place does: of these a variant without machines makes sense.
_JUDGED = frozenset({"opens", "clicks", "unsubscribes", "unique_recipient_impressions"})


@dataclass(frozen=True)
class Definition:
    """One metric. Its value is `scale * numerator / denominator`, or the numerator where there is no denominator.

    A value whose denominator is zero is null. `additive` says that the values of parts (days, campaigns) add up to the
    value of the whole; of others the whole is counted anew.
    """

    key: str
    version: int
    name: str
    words: str
    unit: MetricUnit
    direction: MetricDirection
    additive: bool
    numerator: str
    denominator: str | None
    scale: int
    bots: BotPolicy

    def value(self, numerator: int, denominator: int | None) -> float | int | None:
        """Unrounded; None without a denominator to divide by."""
        if self.denominator is None:
            return self.scale * numerator
        return self.scale * numerator / denominator if denominator else None


def _count(key: str, name: str, measure: str, direction: MetricDirection = MetricDirection.UP) -> list[Definition]:
    meaning = MEASURES[measure]
    counted = Definition(
        key=key, version=1, name=name, words=f"Counts {meaning.words}.", unit=MetricUnit.COUNT, direction=direction,
        additive=not meaning.distinct, numerator=measure, denominator=None, scale=1, bots=BotPolicy.COUNTED,
    )  # fmt: skip
    return [counted, *_human(counted)]


def _percent(
    key: str, name: str, numerator: str, denominator: str, direction: MetricDirection, words: str = ""
) -> list[Definition]:
    rate = Definition(
        key=key, version=1, name=name, unit=MetricUnit.PERCENT, direction=direction, additive=False, numerator=numerator,
        denominator=denominator, scale=100, bots=BotPolicy.COUNTED,
        words=f"100 * {numerator} / {denominator}: {MEASURES[numerator].words}, for each hundred of"
        f" {MEASURES[denominator].words}.{words}",
    )  # fmt: skip
    return [rate, *_human(rate)]


def _human(raw: Definition) -> list[Definition]:
    """The same without what machines did, where machines can do it."""
    if raw.numerator not in _JUDGED:
        return []
    changed = {
        "key": f"{raw.key}.human", "name": f"{raw.name}, without bots", "bots": BotPolicy.LEFT_OUT,
        "words": f"{raw.words} Events whose verdict is bot are left out.",
    }  # fmt: skip
    return [Definition(**{**vars(raw), **changed})]


_ALL = [
    *_percent(
        "email.ctr", "Click-through rate", "clicks", "unique_recipient_impressions", MetricDirection.UP,
        " Clicks are total clicks, so it may pass 100.",
    ),
    *_count("email.total_clicks", "Total clicks", "clicks"),
    *_count("email.unique_recipient_impressions", "Unique recipient impressions", "unique_recipient_impressions"),
    *_count("email.opens", "Opens", "opens"),
    *_count("email.sends", "Sends", "sends"),
    *_count("email.deliveries", "Deliveries", "deliveries"),
    *_count("email.deferrals", "Deferrals", "deferrals", MetricDirection.DOWN),
    *_count("email.bounces", "Bounces", "bounces", MetricDirection.DOWN),
    *_count("email.rejections", "Rejections", "rejections", MetricDirection.DOWN),
    *_count("email.complaints", "Complaints", "complaints", MetricDirection.DOWN),
    *_count("email.unsubscribes", "Unsubscribes", "unsubscribes", MetricDirection.DOWN),
    *_count("email.subscribes", "Subscribes", "subscribes"),
    *_percent("email.open_rate", "Open rate", "unique_recipient_impressions", "deliveries", MetricDirection.UP),
    *_percent("email.delivery_rate", "Delivery rate", "deliveries", "sends", MetricDirection.UP),
    *_percent("email.bounce_rate", "Bounce rate", "bounces", "sends", MetricDirection.DOWN),
    *_percent("email.complaint_rate", "Complaint rate", "complaints", "deliveries", MetricDirection.DOWN),
    *_percent("email.unsubscribe_rate", "Unsubscribe rate", "unsubscribes", "deliveries", MetricDirection.DOWN),
]  # fmt: skip
CATALOGUE: Mapping[str, Definition] = {each.key: each for each in _ALL}


def definition(key: str) -> Definition:
    """The newest version of a metric; NotFound when there is none of this key."""
    try:
        return CATALOGUE[key]
    except KeyError:
        raise NotFound(f"no metric {key[:100]}") from None
