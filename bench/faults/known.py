"""Decides what the driver knows: what it sent, and what it was told had happened; it never asks the product's code."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

BERLIN = ZoneInfo("Europe/Berlin")
YEAR = datetime.now(BERLIN).year - 1


@dataclass
class Kind:
    """Writes of one kind, each under a name that no other has."""

    sent: set[str] = field(default_factory=set)
    told: dict[str, str] = field(default_factory=dict)  # name -> the id in the answer


@dataclass(frozen=True)
class Happening:
    """An e-mail event by what makes it itself, whatever the platform calls it."""

    source: str
    type: str
    recipient: str
    message: str
    url: str
    moment: int
    tag: str

    @property
    def month(self) -> str:
        return datetime.fromtimestamp(self.moment, BERLIN).strftime("%Y-%m-01")


@dataclass
class Known:
    kinds: dict[str, Kind] = field(default_factory=dict)
    events: set[Happening] = field(default_factory=set)
    posts: int = 0
    amounts: dict[str, tuple[str, int]] = field(default_factory=dict)  # entry's reason -> line's id, cents
    bytes: dict[str, str] = field(default_factory=dict)  # asset's title -> SHA-256
    secrets: dict[str, tuple[str, str]] = field(default_factory=dict)  # client's name -> id, secret
    # What came that never should: answers that contradict what was told before.
    wrong: list[str] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)

    def of(self, kind: str) -> Kind:
        return self.kinds.setdefault(kind, Kind())

    def sent(self, kind: str, name: str) -> None:
        self.of(kind).sent.add(name)

    def told(self, kind: str, name: str, answer: Any) -> None:
        known = self.of(kind).told
        if known.setdefault(name, answer) != answer:
            self.wrong.append(f"{kind} {name} was answered with {known[name]}, then with {answer}")

    @property
    def writes(self) -> int:
        """How many writes were acknowledged, webhook posts aside."""
        return sum(len(kind.told) for kind in self.kinds.values())

    def numbers(self) -> dict[tuple[str, str, str], int]:
        """Events by tag, month and type; and as type "unique", distinct (recipient, message) of opens."""
        counts: Counter[tuple[str, str, str]] = Counter()
        pairs: set[tuple[str, str, str, str]] = set()
        for event in self.events:
            counts[event.tag, event.month, event.type] += 1
            if event.type == "opened":
                pairs.add((event.tag, event.month, event.recipient, event.message))
        for tag, month, _, _ in pairs:
            counts[tag, month, "unique"] += 1
        return dict(counts)
