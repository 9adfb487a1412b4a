"""Decides what an e-mail event is once its platform's words are translated: its type, time, verdict and identity."""

import hashlib
import json
import re
import struct
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from json.encoder import encode_basestring_ascii
from typing import NamedTuple
from uuid import UUID

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Earlier or later than this a clock is broken, and the event would stand in a month that it doesn't belong to.
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
AHEAD = timedelta(hours=24)
# How many months of events are kept, beside the one under way. What is older than that has nowhere to be stored.
MONTHS_KEPT = 36
MOST_RECIPIENT = 320
MOST_MESSAGE_ID = 1000
MOST_URL = 8000
MOST_TAG = 300
MOST_TAGS = 100
# More than any platform's largest post holds: 16 MB of events of a hundred bytes each are 160,000.
MOST_ITEMS = 200_000


class EventType(StrEnum):
    QUEUED = "queued"
    SENT = "sent"
    DELIVERED = "delivered"
    DEFERRED = "deferred"
    BOUNCED = "bounced"
    REJECTED = "rejected"
    FAILED = "failed"
    OPENED = "opened"
    CLICKED = "clicked"
    COMPLAINED = "complained"
    UNSUBSCRIBED = "unsubscribed"
    SUBSCRIBED = "subscribed"
    UNKNOWN = "unknown"


class EventVerdict(StrEnum):
    """Who acted. Raw counts are human + bot + unknown."""

    HUMAN = "human"
    BOT = "bot"
    UNKNOWN = "unknown"


# Only these are something that the recipient's side does; of the others nothing can be said.
ACTS = frozenset(
    {EventType.OPENED, EventType.CLICKED, EventType.COMPLAINED, EventType.UNSUBSCRIBED, EventType.SUBSCRIBED}
)
# These are looked at again beside others: by what stands around them, and by whom not to write to any more.
LOOKED_AT = frozenset(
    {EventType.CLICKED, EventType.UNSUBSCRIBED, EventType.SUBSCRIBED, EventType.BOUNCED, EventType.COMPLAINED}
)
# Why a verdict is "bot": the platform says that a machine opened it, or the sender that a machine acted; the program
# says that it is one, or where it runs; it followed a link that no person sees.
MACHINE_OPEN = "machine_open"
MACHINE = "machine"
SCANNER_AGENT = "scanner_agent"
DATA_CENTRE = "data_centre"
HONEYPOT_LINK = "honeypot_link"
# Why it is what it is: somebody said so.
BY_HAND = "judged_by_hand"


class UnreadableError(Exception):
    """Why an event can't be read; begins with the field's name where there is one."""


class ReadEvent(NamedTuple):
    """An event as every platform's module hands it over, clean enough to be stored."""

    key: bytes
    type: EventType
    recipient: str | None
    message_id: str | None
    url: str | None
    tags: tuple[str, ...]
    occurred_at: datetime
    verdict: EventVerdict
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """What was authentic but can't be read: the exact bytes, why, and how many parts of the post these are."""

    payload: bytes
    reason: str
    parts: int = 1


@dataclass(frozen=True, slots=True)
class Reading:
    """All that one post held."""

    events: list[ReadEvent]
    unreadable: list[Unreadable]

    @property
    def quarantined(self) -> int:
        """How many parts of the post can't be read."""
        return sum(each.parts for each in self.unreadable)


def identity(*stable: object) -> bytes:
    """The key of an event: SHA-256 over the fields that stay the same on every retry, the time among them.

    Twins that agree in all of them are one event.
    """
    # What json.dumps says of texts and nothings, in a third of the time.
    words = [
        "null" if each is None else encode_basestring_ascii(each) if isinstance(each, str) else "" for each in stable
    ]
    if "" not in words:
        return hashlib.sha256(f"[{', '.join(words)}]".encode()).digest()
    return hashlib.sha256(json.dumps(stable, ensure_ascii=True).encode()).digest()


def moment(seconds: float) -> datetime:
    """The time of a Unix epoch in seconds, whole or fractional; UnreadableError when there is no such time."""
    try:
        return EPOCH + timedelta(seconds=seconds)
    except (OverflowError, ValueError):
        raise UnreadableError("timestamp: there is no such time") from None


@lru_cache(maxsize=16)
def month(day: date, after: int = 0) -> date:
    """The first day of the month that lies so many after a day's."""
    years, place = divmod(day.month - 1 + after, 12)
    return date(day.year + years, place + 1, 1)


@lru_cache(maxsize=16)
def _kept_since(year: int, place: int) -> datetime:
    return datetime.combine(month(date(year, place, 1), -MONTHS_KEPT), time(), UTC)


def kept_since(now: datetime) -> datetime:
    """When the oldest month begins whose events are kept."""
    return _kept_since(now.year, now.month)


def first_whole_day(now: datetime) -> date:
    """The first day of which all events are kept, in whichever time zone it is a day."""
    return kept_since(now).date() + timedelta(days=1)


def plausible(occurred_at: datetime, now: datetime) -> datetime:
    """The time in UTC; UnreadableError before 2000, more than 24 hours ahead of `now`, or before what is kept."""
    if occurred_at.tzinfo is None:
        raise UnreadableError("occurred_at: has no offset")
    if not EARLIEST <= occurred_at <= now + AHEAD:
        raise UnreadableError(f"occurred_at: {occurred_at.isoformat()} is before 2000 or over 24 hours ahead")
    if occurred_at < (oldest := kept_since(now)):
        words = f"is before {oldest:%Y-%m-%d}, since when events are kept"
        raise UnreadableError(f"occurred_at: {occurred_at.isoformat()} {words}")
    return occurred_at if occurred_at.tzinfo is UTC else occurred_at.astimezone(UTC)


def micros(occurred_at: datetime) -> int:
    """Microseconds since 1970."""
    span = occurred_at - EPOCH
    return (span.days * 86_400 + span.seconds) * 1_000_000 + span.microseconds


@lru_cache(maxsize=10_000)
def salt(source_id: UUID) -> int:
    """What tells equal keys of two sources apart."""
    return int.from_bytes(hashlib.sha256(source_id.bytes).digest()[:8], "big")


_ID = struct.Struct(">QQ")
_BITS, _VARIANT = (1 << 62) - 1, 1 << 63


def event_id(salted: int, key: bytes, at: int) -> bytes:
    """An event's id is its identity: a UUIDv7 of the microsecond in which it happened, 62 bits of its key and source.

    So the key of the table is the key of the event, ids stand in the order of time, and partitions of time are spans
    of ids. Two events would have to meet in a microsecond and in 62 bits to be taken for one.
    """
    ms, us = divmod(at, 1000)
    return _ID.pack(ms << 16 | 0x7000 | us, (int.from_bytes(key[:8], "big") ^ salted) & _BITS | _VARIANT)


def clean(field: str, text: str | None, most: int) -> str | None:
    """The text if it can be kept, None for nothing; UnreadableError for NUL or more than `most` characters."""
    if not text:
        return None
    if "\0" in text:
        raise UnreadableError(f"{field}: holds a NUL character")
    if len(text) > most:
        raise UnreadableError(f"{field}: longer than {most} characters")
    return text


# What stands before an address in angle brackets is somebody's name, in quotes or not.
_NAMED = re.compile(r'(?:"[^"]*+"|[^<>"])*+<\s*+([^<>\s]++)\s*+>')
_SEVERAL = re.compile("[,;]")


def clean_recipient(address: str | None) -> str | None:
    """The address by which a person is found again: without their name and surrounding space, in lower case. None for
    several addresses: they would be erased with none of these people."""
    text = (address or "").strip()
    if text.count("@") > 1 and _SEVERAL.search(text):
        return None
    if text.endswith(">") and (named := _NAMED.fullmatch(text)) and "@" in named[1]:
        text = named[1]
    return clean("recipient", text.lower(), MOST_RECIPIENT)


@lru_cache(maxsize=1000)  # the events of a post are of few mailings
def clean_tags(tags: tuple[str, ...]) -> tuple[str, ...]:
    """Tags in the order sent, trimmed and in lower case as slugs are, each once."""
    if len(tags) > MOST_TAGS:
        raise UnreadableError(f"tags: more than {MOST_TAGS}")
    found = (clean("tags", tag.strip().lower(), MOST_TAG) for tag in tags)
    return tuple(dict.fromkeys(tag for tag in found if tag))


# Programs that say what they are. Image proxies aren't among them: through these people look. Nor are phones by Cubot.
_SCANNERS = re.compile(
    r"(?<!cu)bot\b|crawler|spider|curl/|wget/|python-(requests|urllib)|go-http-client|headlesschrome|phantomjs"
    r"|barracuda|mimecast|proofpoint|safelinks|link ?scan",
    re.IGNORECASE,
)
Network = IPv4Network | IPv6Network


@dataclass(frozen=True)
class Traps:
    """What of a source's mail tells a machine: links that no person sees, and networks that no person sits in."""

    honeypots: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()


NO_TRAPS = Traps()


@lru_cache(maxsize=5000)
def _within(ip: str, networks: tuple[Network, ...]) -> bool:
    try:
        address = ip_address(ip)
    except ValueError:
        return False
    return any(address in network for network in networks if network.version == address.version)


@lru_cache(maxsize=5000)
def _scans(agent: str) -> bool:
    return _SCANNERS.search(agent) is not None


def network(text: str) -> Network:
    """A range of addresses, such as 192.0.2.0/24; ValueError when it is none."""
    return ip_network(text.strip())


@lru_cache(maxsize=100)
def _judged(kind: EventType, why: tuple[str, ...]) -> tuple[EventVerdict, tuple[str, ...]]:
    if why:
        return EventVerdict.BOT, why
    return (EventVerdict.HUMAN if kind in ACTS else EventVerdict.UNKNOWN), ()


def judge(
    kind: EventType, machine: str | None, *, url: str | None = None, ip: str | None = None, agent: str | None = None,
    traps: Traps = NO_TRAPS,
) -> tuple[EventVerdict, tuple[str, ...]]:  # fmt: skip
    """Who acted by what one event says, and why we think so: a bot where there is a reason, nobody known where nobody
    acts."""
    if kind not in ACTS:
        return _judged(kind, (machine,) if machine else ())
    why = (
        machine,
        SCANNER_AGENT if agent and _scans(agent) else None,
        DATA_CENTRE if ip and traps.networks and _within(ip, traps.networks) else None,
        HONEYPOT_LINK if url and url in traps.honeypots else None,
    )
    return _judged(kind, tuple(each for each in why if each))
