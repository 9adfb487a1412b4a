"""Decides when a signing key is published, when it signs, and when it is forgotten."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

ROTATE_EVERY = timedelta(days=90)
# Twice as long as services go without looking at the published keys.
PUBLISHED_AHEAD = timedelta(minutes=10)
LONGEST_TOKEN = timedelta(minutes=15)
# For clocks that differ, and for a token that was being signed at the turn.
MARGIN = timedelta(minutes=5)


class KeyState(StrEnum):
    NEXT = "next"
    SIGNING = "signing"
    OLD = "old"


@dataclass(frozen=True)
class Turn:
    """When a key begins to sign; the one before it stops."""

    kid: str
    signs_from: datetime


def signing(turns: Sequence[Turn], now: datetime) -> Turn | None:
    """The key that signs now: the newest whose turn has come, or else the first to come."""
    ordered = sorted(turns, key=lambda turn: (turn.signs_from, turn.kid))
    begun = [turn for turn in ordered if turn.signs_from <= now]
    return begun[-1] if begun else ordered[0] if ordered else None


def upcoming(turns: Sequence[Turn], now: datetime) -> list[Turn]:
    """Keys that are published and don't sign yet."""
    current = signing(turns, now)
    return [turn for turn in turns if turn.signs_from > now and turn != current]


def is_due(turns: Sequence[Turn], now: datetime) -> bool:
    """Whether the signing key has signed for long enough, and none waits to follow it."""
    current = signing(turns, now)
    return current is None or (not upcoming(turns, now) and now - current.signs_from >= ROTATE_EVERY)


def ends_at(turn: Turn, turns: Sequence[Turn], now: datetime) -> datetime | None:
    """When the last token that this key signed has ended; None while it signs or will."""
    current = signing(turns, now)
    if current is None or turn == current or turn.signs_from > now:
        return None
    successor = min(each.signs_from for each in turns if (each.signs_from, each.kid) > (turn.signs_from, turn.kid))
    return successor + LONGEST_TOKEN + MARGIN


def state(turn: Turn, turns: Sequence[Turn], now: datetime) -> KeyState:
    if turn == signing(turns, now):
        return KeyState.SIGNING
    return KeyState.NEXT if turn.signs_from > now else KeyState.OLD
