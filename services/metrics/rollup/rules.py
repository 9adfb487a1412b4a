"""Decides what the smallest piece of the numbers is, and which pieces a span of days is put together from."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import lru_cache
from uuid import UUID
from zoneinfo import ZoneInfo

# Stands for no campaign where a key can't be null.
NO_CAMPAIGN = UUID(int=0)
# Of these events it is kept which pairs of recipient and message they are of.
IN_SETS = frozenset({"opened", "clicked"})


@dataclass(frozen=True)
class Cell:
    """One source's events of one campaign (or of none) on one local day."""

    source_id: UUID
    campaign_id: UUID | None
    day: date


# How many events of each type and verdict each cell counts.
Tallies = Mapping[tuple[Cell, str, str], int]


class Piece(StrEnum):
    """What sets are kept of."""

    DAY = "day"
    MONTH = "month"


@lru_cache(4096)
def midnight(day: date, zone: str) -> datetime:
    """When a local day begins. Of two midnights, as where clocks go back from 01:00, with the first: the hour between
    is of this day too, and Postgres would take the second."""
    return datetime.combine(day, time(), ZoneInfo(zone)).astimezone(UTC)


def month_of(day: date) -> date:
    return day.replace(day=1)


def month_after(day: date) -> date:
    """The first day of the next month."""
    return (day.replace(day=28) + timedelta(days=4)).replace(day=1)


def pieces(since: date, until: date) -> Iterator[tuple[Piece, date, date]]:
    """Half-open spans that make up [since, until): of whole months where there are any, of days at the edges."""
    first = since if since.day == 1 else month_after(since)
    last = month_of(until)
    if first >= last:
        yield Piece.DAY, since, until
        return
    if since < first:
        yield Piece.DAY, since, first
    yield Piece.MONTH, first, last
    if last < until:
        yield Piece.DAY, last, until


def merged(spans: Iterable[tuple[Piece, date, date]]) -> list[tuple[Piece, date, date]]:
    """The same days, in as few spans of each piece as cover them."""
    found: list[tuple[Piece, date, date]] = []
    for piece, since, until in sorted(set(spans)):
        if found and found[-1][0] is piece and since <= found[-1][2]:
            found[-1] = piece, found[-1][1], max(until, found[-1][2])
        else:
            found.append((piece, since, until))
    return found


def differing(before: Tallies, after: Tallies) -> list[Cell]:
    """The cells that don't count what they did."""
    return list({place[0] for place in before.keys() | after.keys() if before.get(place) != after.get(place)})
