"""Decides what a SendGrid account sends: signed batches of events, as its documentation has them, and a plain count of
what they amount to."""

import base64
import json
import random
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import httpx
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

BERLIN = ZoneInfo("Europe/Berlin")
Event = dict[str, Any]


class Account:
    """A key pair, and posts signed with it."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        spki = serialization.PublicFormat.SubjectPublicKeyInfo
        self.public_key = base64.b64encode(
            self._key.public_key().public_bytes(serialization.Encoding.DER, spki)
        ).decode()

    def signed(self, body: bytes, timestamp: str = "1700000000") -> dict[str, str]:
        signature = self._key.sign(timestamp.encode() + body, ec.ECDSA(hashes.SHA256()))
        return {
            "Content-Type": "application/json",
            "X-Twilio-Email-Event-Webhook-Signature": base64.b64encode(signature).decode(),
            "X-Twilio-Email-Event-Webhook-Timestamp": timestamp,
        }

    def post(self, client: httpx.Client, url: str, events: Iterable[Event]) -> httpx.Response:
        body = json.dumps(list(events)).encode()
        return client.post(url, content=body, headers=self.signed(body))


def make_events(rng: random.Random, slug: str, start: datetime, end: datetime, count: int) -> list[Event]:
    """Opens and clicks of a few people and messages, many of them within minutes of a local midnight of a month's end
    or of a change of the clocks."""
    span = (end - start).total_seconds()
    edges = [start + timedelta(days=day) for day in range(0, int(span // 86400))]
    edges = [day for day in edges if day.day == 1 or day.month in (3, 10)] or [start]
    events = []
    for _ in range(count):
        moment = start + timedelta(seconds=rng.random() * span)
        if rng.random() < 0.5:
            edge = rng.choice(edges).astimezone(BERLIN).replace(hour=0, minute=0, second=0, microsecond=0)
            moment = min(max(edge + timedelta(seconds=rng.randint(-7200, 14400)), start), end - timedelta(seconds=1))
        kind = rng.choice(["open", "open", "click", "delivered", "processed"])
        event = {
            "event": kind, "email": f"person{rng.randint(1, 40)}@example.com", "timestamp": int(moment.timestamp()),
            "sg_message_id": f"message{rng.randint(1, 6)}.filter", "sg_event_id": uuid4().hex,
            "category": rng.choice([slug, [slug], ["newsletter", slug]]), "ip": "203.0.113.9",
        }  # fmt: skip
        if kind == "click":
            event["url"] = f"https://example.com/{rng.randint(1, 5)}"
        events.append(event)
    return events


def as_delivered(rng: random.Random, events: list[Event]) -> list[list[Event]]:
    """The same events as a platform delivers them: repeated, with new ids, shuffled, in batches of any size."""
    sent = [dict(event) for event in events for _ in range(rng.randint(1, 3))]
    for event in sent:
        if rng.random() < 0.5:
            event["sg_event_id"] = uuid4().hex
    rng.shuffle(sent)
    batches = []
    while sent:
        size = rng.choice([1, 2, 7, 50, 300])
        batches.append(sent[:size])
        sent = sent[size:]
    return batches


def count(events: list[Event]) -> dict[str, tuple[int, int]]:
    """Local month -> (clicks, distinct (recipient, message) of opens), counted from the events alone."""
    once = {json.dumps({key: value for key, value in event.items() if key not in ("sg_event_id", "category")},
                       sort_keys=True): event for event in events}  # fmt: skip
    clicks: dict[str, int] = {}
    pairs: dict[str, set[tuple[str, str]]] = {}
    for event in once.values():
        month = datetime.fromtimestamp(event["timestamp"], BERLIN).strftime("%Y-%m-01")
        clicks.setdefault(month, 0)
        pairs.setdefault(month, set())
        if event["event"] == "click":
            clicks[month] += 1
        if event["event"] == "open":
            pairs[month].add((event["email"], event["sg_message_id"]))
    return {month: (clicks[month], len(pairs[month])) for month in clicks}
