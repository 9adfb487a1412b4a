"""Decides what became of something that couldn't be read when it is read again."""

from dataclasses import dataclass
from enum import StrEnum

from services.metrics.event.rules import Reading


class QuarantineState(StrEnum):
    WAITING = "waiting"
    REPLAYED = "replayed"


class Outcome(StrEnum):
    STORED = "stored"
    # All of its events are there already: the platform has sent them otherwise.
    KNOWN = "known"
    UNREADABLE = "unreadable"


@dataclass(frozen=True)
class Replay:
    """What became of one."""

    outcome: Outcome
    events: int = 0
    stored: int = 0
    reason: str | None = None


def refused(reading: Reading) -> Replay | None:
    """What to say of what still can't be read, in part or whole: then nothing of it is stored."""
    if reading.unreadable:
        return Replay(Outcome.UNREADABLE, len(reading.events), 0, reading.unreadable[0].reason)
    return None


def taken(reading: Reading, stored: int) -> Replay:
    return Replay(Outcome.STORED if stored else Outcome.KNOWN, len(reading.events), stored)
