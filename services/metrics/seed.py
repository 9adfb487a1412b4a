"""Decides metrics' part of the demo workspace: two years of mail, told by three platforms' webhooks as it happened."""

import base64
import hashlib
import heapq
import hmac
import random
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from chassis.demo import ZONE, Act, Stage, hour, month
from services.metrics.event.rules import EventType
from services.metrics.source.platforms.sendgrid import SIGNATURE, TIMESTAMP, TYPES

Json = dict[str, Any]
Campaigns = Sequence[Mapping[str, Any]]

POST = 1000
PEOPLE_AT_FIRST, PEOPLE_NOW = 5500, 8500
# How much of the list is written to: fewer people answer in July than in November.
SEASON = (0.9, 0.95, 1.0, 1.0, 1.05, 0.95, 0.7, 0.75, 1.05, 1.1, 1.45, 1.2)
FIRST_NAMES = ("ada", "bela", "chris", "dana", "emil", "fatma", "greta", "hugo", "ines", "jonas", "kaya", "lena")
LAST_NAMES = ("berg", "costa", "diaz", "ekdahl", "fuchs", "garcia", "horn", "ito", "jansen", "kowalski", "lopez")
DOMAINS = ("example.com", "example.net", "example.org", "mail.example", "post.example")
PAGES = ("offer", "story", "sign-up", "pricing")
WORDS = {kind: word for word, kind in TYPES.items()}


class Sendgrid:
    """An account whose posts are signed with a key of its own."""

    platform = "sendgrid"

    def __init__(self) -> None:
        self._key = generate_private_key(SECP256R1())

    def credentials(self) -> Json:
        der = self._key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return {"public_key": base64.b64encode(der).decode()}

    def event(self, at: int, kind: EventType, address: str, message: str, url: str, tags: list[str], bot: bool) -> Json:
        told: Json = {
            "event": WORDS[kind], "email": address, "timestamp": at, "sg_message_id": message, "category": tags,
        }  # fmt: skip
        if url:
            told["url"] = url
        if kind is EventType.OPENED:
            told["sg_machine_open"] = bot
        return told

    def body(self, events: list[Json]) -> bytes:
        return msgspec.json.encode(events)

    def headers(self, body: bytes, now: datetime) -> Mapping[str, str]:
        timestamp = str(int(now.timestamp()))
        signature = self._key.sign(timestamp.encode() + body, ECDSA(SHA256()))
        return {SIGNATURE: base64.b64encode(signature).decode(), TIMESTAMP: timestamp}


class Standard:
    """A system of the team's own that follows Standard Webhooks."""

    platform = "standard"

    def __init__(self) -> None:
        self._key = random.SystemRandom().randbytes(24)

    def credentials(self) -> Json:
        return {"signing_secret": f"whsec_{base64.b64encode(self._key).decode()}"}

    def event(self, at: int, kind: EventType, address: str, message: str, url: str, tags: list[str], bot: bool) -> Json:
        occurred_at = datetime.fromtimestamp(at, UTC).isoformat()
        told: Json = {
            "type": kind.value, "recipient": address, "message_id": message, "occurred_at": occurred_at, "tags": tags,
        }  # fmt: skip
        return told | ({"url": url} if url else {}) | ({"machine": True} if bot else {})

    def body(self, events: list[Json]) -> bytes:
        return msgspec.json.encode({"events": events})

    def headers(self, body: bytes, now: datetime) -> Mapping[str, str]:
        name, timestamp = f"msg_{hashlib.sha256(body).hexdigest()[:20]}", str(int(now.timestamp()))
        signed = hmac.new(self._key, f"{name}.{timestamp}.".encode() + body, hashlib.sha256).digest()
        signature = f"v1,{base64.b64encode(signed).decode()}"
        return {"webhook-id": name, "webhook-timestamp": timestamp, "webhook-signature": signature}


@dataclass
class Account:
    """One of the team's accounts at a platform, with what it hasn't posted yet."""

    name: str
    system: Sendgrid | Standard
    waiting: list[Json] = field(default_factory=list)
    since: int = 0
    posts: int = 0

    async def connect(self, stage: Stage) -> None:
        asked = {"platform": self.system.platform, "name": self.name, "credentials": self.system.credentials()}
        source = await stage.ask("specialist", "POST", "metrics", "/v1/sources", json=asked)
        stage.ids[f"webhook:{self.name}"] = source["webhook_url"]

    def post(self, at: int) -> Act:
        """Sends what waits. Now and then it sends it twice, as platforms do, or adds what nobody can read."""
        self.posts += 1
        events, self.waiting = self.waiting, []
        times = 2 if self.posts % 25 == 0 else 1
        if self.posts % 40 == 0:
            events.append({"event": "open", "type": "opened", "email": "somebody@example.com"})
        body = self.system.body(events)

        async def do(stage: Stage) -> None:
            for _ in range(times):
                url, headers = stage.ids[f"webhook:{self.name}"], self.system.headers(body, stage.now)
                await stage.begin(stage.post(url, body, headers))

        return Act(datetime.fromtimestamp(at + 2, UTC), do)


@dataclass(frozen=True)
class Send:
    """One mail to a share of the list, or to those who signed up on a day."""

    at: datetime
    account: Account
    slug: str
    share: float
    appeal: float


def acts(anchor: date, campaigns: Campaigns, size: float) -> Iterator[Act]:
    """What the team's accounts posted, and what it defined, observed and watched, until the morning of `anchor`."""
    return heapq.merge(_mail(anchor, campaigns, size), _figures(anchor), key=lambda act: act.at)


def _figures(anchor: date) -> Iterator[Act]:
    """Metrics of the team's own, the shop's figures on each month's second day, one of them corrected, and alerts."""
    first = month(anchor, -24)
    defined: list[Json] = [
        {"key": "shop.revenue", "name": "Revenue of the shop", "unit": "money", "observed": "sum"},
        {"key": "shop.revenue_per_click", "name": "Revenue per click", "unit": "money", "grain": "month",
         "expression": "[shop.revenue] / [email.total_clicks.human]", "words": "Whatever brought the buyers."},
        {"key": "shop.clicks_per_opener", "name": "Clicks per opener", "unit": "ratio", "distinct_key": "recipient",
         "expression": "clicks / unique_opens", "bots": "left_out"},
    ]  # fmt: skip
    watched: list[Json] = [
        {"name": "Bounces over 4 %", "metric": "email.bounce_rate", "kind": "above", "value": 4, "grain": "month"},
        {"name": "Visits out of the ordinary", "metric": "web.visits", "kind": "anomaly"},
    ]
    for path, bodies in (("metrics", defined), ("alerts", watched)):
        for body in bodies:
            yield Act(hour(first - timedelta(days=9), 11), _send(f"/v1/{path}", body))
    rng = random.Random("figures")  # noqa: S311
    for after in range(-24, 0):
        begins, ends = month(anchor, after), month(anchor, after + 1)
        season = SEASON[begins.month - 1] * (1 + 0.02 * (after + 24))
        revenue = {
            "metric": "shop.revenue",
            "day": f"{begins}",
            "reference": "shop",
            "note": "From the monthly report.",
        }
        rows: list[Json] = [{**revenue, "money": {"amount": f"{round(41_000 * season)}.90", "currency": "EUR"}}]
        for n in range((ends - begins).days):
            day = begins + timedelta(days=n)
            visits = (700 if day.weekday() < 5 else 380) * season * rng.uniform(0.95, 1.05)
            rows.append({"metric": "web.visits", "day": f"{day}", "value": f"{round(visits)}"})
        yield Act(hour(ends + timedelta(days=1), 9), _send("/v1/observations/import", {"rows": rows}))
        if after == -3:
            late = {**revenue, "money": {"amount": f"{round(40_200 * season)}.00", "currency": "EUR"}}
            body = {"rows": [late], "reason": "Returns of the last week were left out."}
            yield Act(hour(ends + timedelta(days=6), 10), _send("/v1/observations/import", body))


def _send(path: str, body: Json) -> Callable[[Stage], Awaitable[None]]:
    async def do(stage: Stage) -> None:
        await stage.ask("specialist", "POST", "metrics", path, json=body)

    return do


def _mail(anchor: date, campaigns: Campaigns, size: float) -> Iterator[Act]:
    """The team's accounts, and all that they posted. `size` 1 is 210,000 events."""
    letters, agency = Account("Newsletter", Sendgrid()), Account("Campaign mailings", Sendgrid())
    onboarding = Account("Onboarding automation", Standard())
    first = month(anchor, -24)
    for account in (letters, agency, onboarding):
        yield Act(hour(first - timedelta(days=10), 10), account.connect)
    # A post a day for each would take longer than anybody waits for a demo.
    patience, last = (7 if size >= 1 else 30) * 86_400, 0
    for at, account, event in _events(anchor, _sends(anchor, campaigns, letters, agency, onboarding), size):
        if not account.waiting:
            account.since = at
        account.waiting.append(event)
        last = at
        if len(account.waiting) == POST or at - account.since > patience:
            yield account.post(at)
    for account in (letters, agency, onboarding):
        if account.waiting:
            yield account.post(last)


def _sends(anchor: date, campaigns: Campaigns, letters: Account, agency: Account, onboarding: Account) -> list[Send]:
    """When who writes to how many, by each campaign's flight: programmes that run all year have a rhythm, the others
    a few waves."""
    found = []
    for campaign in campaigns:
        if "email" not in campaign["channels"]:
            continue
        slug = campaign["slug"]
        rng = random.Random(slug)  # noqa: S311  # what it decides is no secret
        start, end = (date.fromisoformat(campaign["flight"][key]) for key in ("start", "end"))
        appeal, days = rng.uniform(0.75, 1.35), (end - start).days
        if "onboarding" in slug:
            found += [Send(hour(start + timedelta(n), 7), onboarding, slug, 0.0012, appeal) for n in range(days)]
        elif days > 200:
            found += [Send(hour(start + timedelta(n), 9.5), letters, slug, 0.11, appeal) for n in range(5, days, 14)]
        else:
            waves = [start + timedelta(days=round(days * part)) for part in (0.05, 0.35, 0.7)]
            found += [Send(hour(day, rng.choice((8, 9, 10, 15))), agency, slug, 0.055, appeal) for day in waves]
    # Whoever signs in is written to by no campaign at all.
    first = month(anchor, -24)
    days = (anchor - first).days
    found += [Send(hour(first + timedelta(n), 11), onboarding, "receipt", 0.0004, 1) for n in range(days)]
    # Around each month's last midnight, and in the hour that comes twice or never.
    for after in range(-23, 1):
        edge = month(anchor, after)
        found += [Send(hour(edge, hours), letters, "receipt", 0.0005, 1.3) for hours in (-0.01, 0, 0.01)]
        if edge.month in (4, 11):
            sunday = edge - timedelta(days=edge.weekday() + 1)
            found += [Send(hour(sunday, hours), letters, "receipt", 0.0005, 1) for hours in (1.9, 2.5, 3.1)]
    return sorted(found, key=lambda send: send.at)


def _events(anchor: date, sends: Sequence[Send], size: float) -> Iterator[tuple[int, Account, Json]]:
    """All that happens to all mail, in the order in which it happens, until `anchor` dawns."""
    rng = random.Random("demo")  # noqa: S311
    first, end = hour(month(anchor, -24), 0), hour(anchor, 6)
    lost: set[int] = set()
    ahead: list[tuple[int, int, Account, Json]] = []
    for number, send in enumerate(sends):
        if not first <= send.at < end:
            continue
        # A later send may have its say before an earlier one's last opens; none before its own time.
        now = int(send.at.timestamp())
        if len(ahead) > 20_000:
            ahead.sort(key=lambda each: each[:2])
            due = sum(each[0] < now for each in ahead)
            yield from ((at, account, event) for at, _, account, event in ahead[:due])
            del ahead[:due]
        years = (send.at - first).days / 365
        people = (PEOPLE_AT_FIRST + (PEOPLE_NOW - PEOPLE_AT_FIRST) * years / 2) * size
        count = max(1, round(people * send.share * SEASON[send.at.astimezone(ZONE).month - 1]))
        for person in rng.sample(range(int(people) + 1), min(count, int(people))):
            for at, kind, url, bot in _life(rng, person, now + rng.randrange(1200), send.appeal * (1 + 0.22 * years)):
                if person not in lost or kind is EventType.REJECTED:
                    message = f"{number:x}.{person:x}"
                    tags = [send.slug] if send.account.system.platform == "sendgrid" else ["automation", send.slug]
                    told = send.account.system.event(at, kind, _address(person), message, url, tags, bot)
                    ahead.append((at, len(ahead), send.account, told))
                if kind in (EventType.BOUNCED, EventType.COMPLAINED, EventType.UNSUBSCRIBED):
                    lost.add(person)
    ahead.sort(key=lambda each: each[:2])
    for at, _, account, event in ahead:
        if at < end.timestamp():
            yield at, account, event


def _address(person: int) -> str:
    first, last = FIRST_NAMES[person % len(FIRST_NAMES)], LAST_NAMES[person // 7 % len(LAST_NAMES)]
    return f"{first}.{last}{person}@{DOMAINS[person % len(DOMAINS)]}"


def _life(rng: random.Random, person: int, at: int, appeal: float) -> Iterator[tuple[int, EventType, str, bool]]:
    """What becomes of one message: when, what, which link, and whether a machine did it."""
    yield at, EventType.QUEUED, "", False
    luck = rng.random()
    if luck < 0.009:
        yield at + rng.randrange(2, 40), EventType.BOUNCED, "", False
        return
    if luck < 0.012:
        yield at + 1, EventType.REJECTED, "", False
        return
    if luck < 0.03:
        yield at + rng.randrange(5, 60), EventType.DEFERRED, "", False
        at += rng.randrange(900, 7200)
    at += rng.randrange(1, 30)
    yield at, EventType.DELIVERED, "", False
    if person % 3 == 0 and rng.random() < 0.6:
        yield at + rng.randrange(5, 900), EventType.OPENED, "", True
    # Some always read, most now and then, some never.
    if rng.random() > (person * 37 % 100) / 100 * 0.45:
        return
    for _ in range(1 + (rng.random() < 0.2)):
        at = _awake(rng, at + int(rng.lognormvariate(8.7, 1.3)))
        yield at, EventType.OPENED, "", False
        if rng.random() < 0.13 * appeal:
            page = rng.choice(PAGES)
            yield at + rng.randrange(4, 300), EventType.CLICKED, f"https://www.example.com/{page}", False
            if rng.random() < 0.25:
                yield at + rng.randrange(300, 900), EventType.CLICKED, f"https://www.example.com/{page}/more", False
    if rng.random() < 0.006:
        yield at + rng.randrange(10, 200), EventType.UNSUBSCRIBED, "", False
    elif rng.random() < 0.001:
        yield at + rng.randrange(10, 200), EventType.COMPLAINED, "", False


def _awake(rng: random.Random, at: int) -> int:
    """Most people read what came at night in the morning."""
    clock = (at // 3600 + 1) % 24
    return at + (7 - clock) * 3600 + rng.randrange(3600) if clock < 6 and rng.random() < 0.9 else at
