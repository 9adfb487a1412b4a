"""What ten thousand forgeries and replays get in: nothing."""

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache

import pytest

from chassis.testing import START
from services.metrics.source.platforms import PLATFORMS
from services.metrics.source.platforms.platform import Delivery, Platform
from services.metrics.source.platforms.standardwebhooks import StandardWebhooks
from services.metrics.source.rules import Labels, PlatformName
from tests.metrics.playing import JUNE, PLAYERS, URL, BasicPlayer, Player, Sent

SEED, COUNT = 20260601, 10_000
PEOPLE = ("ann", "bo", "cem", "dee")
# Mailchimp signs nothing: there, whoever doesn't know the URL finds no source to post to.
NAMES = sorted(PLAYERS.keys() - {"mailchimp"})
AGING = {"resend", "standard", "hubspot", "mailgun"}


@cache
def genuine(name: str, number: int = 0) -> tuple[Sent, ...]:
    """What a platform sent, and somebody saw."""
    player = PLAYERS[name](number)
    said = [player.one(f"{who}@example.com", JUNE + n, f"m-{n}", "spring") for n, who in enumerate(PEOPLE)]
    return tuple(
        player.pack(each, URL, START, n) for n, each in enumerate(p for one in said for p in player.many([one]))
    )


class Gate:
    """A source of a platform, as a post meets it: believed or not, and if so whether it adds anything."""

    def __init__(self, name: str) -> None:
        self.player: Player = PLAYERS[name]()
        self.platform: Platform = PLATFORMS[PlatformName(name)]
        self.known: set[bytes] = set()
        self.claims: dict[bytes, bytes] = {}
        for sent in genuine(name):
            assert self.lets_in(sent.to(URL, START, self.player.certificate)), "what is genuine gets in"

    def lets_in(self, delivery: Delivery) -> bool:
        """Whether anything new comes of it, be it an event or something that can't be read."""
        if not self.platform.verify(self.player.credentials(), delivery):
            return False
        claim = self.platform.claim(delivery)
        if claim and self.claims.setdefault(claim.signed, claim.body) != claim.body:
            return False
        reading = self.platform.read(delivery, Labels())
        new = {event.key for event in reading.events} - self.known
        self.known |= new
        return bool(new or reading.unreadable)


def edited(rng: random.Random, text: bytes) -> bytes:
    """One to three characters put in, taken away, changed, or given another case."""
    for _ in range(rng.randint(1, 3)):
        place, other = rng.randrange(len(text) + 1), bytes([rng.choice(b'0123456789abcdefABCDEF=+/ .,:"{}[]\n\t&%')])
        kind = rng.choice(("put", "take", "change", "case"))
        rest = text[place + 1 :]
        if kind == "put":
            text = text[:place] + other + text[place:]
        elif kind == "take":
            text = text[:place] + rest
        else:
            text = text[:place] + (other if kind == "change" else text[place : place + 1].swapcase()) + rest
    return text


def attempts(rng: random.Random, name: str) -> Iterator[tuple[str, Delivery]]:
    """Whatever somebody might try who has seen four posts, and has a source of their own at the same platform."""
    player, posts = PLAYERS[name](), genuine(name)

    def at(sent: Sent, late: timedelta = timedelta(0), url: str = URL) -> Delivery:
        moment: datetime = START + late
        return sent.to(url, moment, player.certificate)

    while True:
        sent, other = rng.sample(posts, 2)
        yield "sent again", at(sent, timedelta(seconds=rng.randrange(240)))
        yield "another source's secret", at(rng.choice(genuine(name, 1)))
        if player.signed:
            header = rng.choice(player.signed)
            value = sent.headers[header]
            yield "a header changed", at(sent.with_header(header, edited(rng, value.encode()).decode("latin-1")))
            yield "a header missing", at(sent.with_header(header, None))
        for beside in {"webhook-id", "svix-id"} - set(player.signed) if name in ("resend", "standard") else ():
            yield "another id beside", at(sent.with_header(beside, f"msg_{rng.random()}"))
        if not isinstance(player, BasicPlayer):  # whoever knows a password may say anything
            yield "the body changed", at(replace(sent, body=edited(rng, sent.body)))
            yield "another body under a signature", at(Sent(sent.headers, other.body))
            yield "one person for another", at(replace(sent, body=sent.body.replace(b"@example.com", b"@evil.example")))
            yield "nothing but a body", at(Sent({}, sent.body + b" "))
        if name in AGING:
            yield "too late", at(sent, timedelta(hours=25))
            yield "too early", at(sent, -timedelta(hours=25))
        if name in ("mandrill", "hubspot"):
            yield "at another URL", at(sent, url=URL + rng.choice(("x", "?x=1", "/")))


def test_of_ten_thousand_forgeries_and_replays_none_gets_in() -> None:
    rng = random.Random(SEED)
    gates = {name: (Gate(name), attempts(rng, name)) for name in NAMES}
    got_in: list[tuple[str, str]] = []
    for n in range(COUNT):
        name = NAMES[n % len(NAMES)]
        gate, tried = gates[name]
        what, delivery = next(tried)
        if gate.lets_in(delivery):
            got_in.append((name, what))
    assert got_in == []


def test_a_signature_that_is_not_looked_at_lets_them_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StandardWebhooks, "verify", lambda *_: True)
    gate, tried = Gate("standard"), attempts(random.Random(SEED), "standard")
    assert any(gate.lets_in(next(tried)[1]) for _ in range(100))
