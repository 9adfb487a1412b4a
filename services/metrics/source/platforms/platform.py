"""Decides what every platform's module answers: whom it believes, what it reads, and which status says what to it."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from chassis.errors import Invalid
from services.metrics.event.rules import Reading
from services.metrics.source.platforms.decoding import together
from services.metrics.source.rules import DATA, TAGS, UTM_CAMPAIGN, Labels

Credentials = Mapping[str, Any]
SHORTEST_SECRET = 8


@dataclass(frozen=True, slots=True)
class Delivery:
    """One request as it came in. `url` is the one that was pasted at the platform, whatever a proxy made of it."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    at: datetime
    # What stands at the platform's `certificate_url`.
    certificate: bytes = b""


@dataclass(frozen=True, slots=True)
class Claim:
    """A signature that is good for one body alone: whoever shows it first says which."""

    signed: bytes
    body: bytes


class Platform(ABC):
    """One e-mail platform. What is the same nearly everywhere stands here, what differs in its own module."""

    needs: ClassVar[tuple[str, ...]]
    """The credentials that a source of it is made with."""

    gives: ClassVar[frozenset[str]] = frozenset({TAGS, DATA, UTM_CAMPAIGN})
    """What of its events may decide the campaign."""

    retry_status: ClassVar[int] = 503
    """The status on which it sends a post again."""

    refuse_status: ClassVar[int] = 403
    """What it gets for a post that isn't believed. If only its secret is wrong, it shouldn't take that for an end."""

    stop_status: ClassVar[int] = 410
    """The status on which it sends no more, where it has one: for a source that is revoked."""

    greetings: ClassVar[frozenset[str]] = frozenset()
    """The methods, besides POST, by which it asks whether anybody is there."""

    def check(self, credentials: Credentials) -> None:
        """Invalid, naming the field, when a credential can't be one."""
        for name in self.needs:
            if len(credentials[name]) < SHORTEST_SECRET:
                raise Invalid.field(f"credentials.{name}", f"a secret has {SHORTEST_SECRET} characters at least")

    @abstractmethod
    def verify(self, credentials: Credentials, delivery: Delivery) -> bool:
        """Whether the platform sent exactly this, by what it shares with these credentials."""

    @abstractmethod
    def read(self, delivery: Delivery, labels: Labels) -> Reading:
        """What an authentic post says. Never raises: what can't be read is part of the reading."""

    def again(self, payload: bytes) -> bytes:
        """The body by which a kept part of a post, or a kept post, is read once more: parts that were kept together are
        an array."""
        return together(payload) or payload

    def certificate_url(self, credentials: Credentials, delivery: Delivery) -> str | None:
        """Where the certificate is that `verify` needs, if it is a place to be trusted."""
        return None

    def confirmation_url(self, delivery: Delivery) -> str | None:
        """What must be visited before the platform begins to send (of an authentic post)."""
        return None

    def claim(self, delivery: Delivery) -> Claim | None:
        """Of an authentic post whose signature doesn't cover its body: what ties the two."""
        return None
