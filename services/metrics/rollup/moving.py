"""Decides what a few changed verdicts make of the numbers, by what else their people did.

No cell is counted anew: that would hold back all who store events, as this doesn't.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import workspace_of
from services.metrics.event.rules import EventVerdict, first_whole_day
from services.metrics.metric.rules import DistinctKey
from services.metrics.rollup.folding import fold
from services.metrics.rollup.rules import IN_SETS, NO_CAMPAIGN, Piece, midnight, month_after, month_of
from services.metrics.rollup.sets import SetKey, number, put_sets, read_sets

# Moved from a person's to a machine's.
_COUNT = text("""
    INSERT INTO counted AS c (workspace_id, campaign_id, grain, start, source_id, type, verdict, count)
    SELECT :workspace, each.* FROM unnest(cast(:campaigns AS uuid[]), cast(:grains AS text[]), cast(:starts AS date[]),
        cast(:sources AS uuid[]), cast(:types AS text[]), cast(:verdicts AS text[]), cast(:counts AS bigint[])) AS each
    ON CONFLICT (workspace_id, campaign_id, grain, start, source_id, type, verdict)
    DO UPDATE SET count = c.count + excluded.count
""")
_PEOPLE_S = text("""
    WITH span AS MATERIALIZED (
        SELECT first_id(cast(:begins AS timestamptz)) AS begins, first_id(cast(:ends AS timestamptz)) AS ends
    )
    SELECT DISTINCT e.source_id, coalesce(e.campaign_id, :none) AS campaign_id, local_day(e.occurred_at, :zone) AS day,
        e.type, uuid_send(e.recipient_id) AS recipient, pair_hash(e.recipient_id, e.message_id) AS pair
    FROM span CROSS JOIN unnest(cast(:people AS uuid[])) AS p(id) CROSS JOIN LATERAL (
        SELECT * FROM occurrence WHERE workspace_id = :workspace AND recipient_id = p.id
            AND type IN ('clicked', 'unsubscribed') AND id >= span.begins AND id < span.ends AND verdict = 'human'
        OFFSET 0
    ) AS e
""")


@dataclass(frozen=True)
class Moved:
    """An event that was a person's and is a machine's."""

    source_id: UUID
    campaign_id: UUID | None
    day: date
    type: str
    recipient_id: UUID
    pair: bytes

    def pieces(self) -> Sequence[tuple[Piece, date]]:
        return (Piece.DAY, self.day), (Piece.MONTH, month_of(self.day))


async def move_to_machines(session: AsyncSession, events: Sequence[Moved], zone: str) -> None:
    """Makes the numbers what they are with these verdicts, which are stored already. Share the numbers before."""
    while await fold(session):  # they are counted as a person's before they can be taken from there
        pass
    sealed = first_whole_day(session.info["clock"]())
    moved = [event for event in events if event.day >= sealed]
    if not moved:
        return
    await _count(session, moved)
    in_sets = [event for event in moved if event.type in IN_SETS]
    if in_sets:
        await _reach(session, in_sets, await _still_there(session, in_sets, zone))


async def _count(session: AsyncSession, moved: Sequence[Moved]) -> None:
    many = Counter(
        (event.campaign_id or NO_CAMPAIGN, piece.value, start, event.source_id, event.type)
        for event in moved
        for piece, start in event.pieces()
    )
    rows = sorted(
        (*place, verdict.value, sign * count)
        for place, count in many.items()
        for verdict, sign in ((EventVerdict.HUMAN, -1), (EventVerdict.BOT, 1))
    )
    names = ("campaigns", "grains", "starts", "sources", "types", "verdicts", "counts")
    bound: dict[str, Any] = {name: [row[place] for row in rows] for place, name in enumerate(names)}
    await session.execute(_COUNT, {"workspace": workspace_of(session), **bound})


async def _still_there(session: AsyncSession, moved: Sequence[Moved], zone: str) -> set[tuple[SetKey, bytes]]:
    """What people's sets hold all the same, by what else these did in these months."""
    months = [month_of(event.day) for event in moved]
    rows = await session.execute(
        _PEOPLE_S,
        {
            "workspace": workspace_of(session), "zone": zone, "none": NO_CAMPAIGN,
            "begins": midnight(min(months), zone), "ends": midnight(month_after(max(months)), zone),
            "people": list({event.recipient_id for event in moved}),
        },
    )  # fmt: skip
    return {
        (_key(row.campaign_id, piece, start, row.source_id, row.type, unit), bytes(name))
        for row in rows.all()
        for piece, start in ((Piece.DAY, row.day), (Piece.MONTH, month_of(row.day)))
        for unit, name in ((DistinctKey.RECIPIENT_MESSAGE, row.pair), (DistinctKey.RECIPIENT, row.recipient))
    }


async def _reach(session: AsyncSession, moved: Sequence[Moved], still: set[tuple[SetKey, bytes]]) -> None:
    wanted: dict[SetKey, set[bytes]] = defaultdict(set)
    for event in moved:
        for piece, start in event.pieces():
            for unit, name in (
                (DistinctKey.RECIPIENT_MESSAGE, event.pair), (DistinctKey.RECIPIENT, event.recipient_id.bytes),
            ):  # fmt: skip
                campaign = event.campaign_id or NO_CAMPAIGN
                wanted[_key(campaign, piece, start, event.source_id, event.type, unit)].add(name)
    numbers = await number(session, {name for names in wanted.values() for name in names})
    found = await read_sets(session, list(wanted))
    for key, names in wanted.items():
        for name in names:
            found[key][EventVerdict.BOT].add(numbers[name])
            if (key, name) not in still:
                found[key][EventVerdict.HUMAN].discard(numbers[name])
    await put_sets(session, found)


def _key(campaign: UUID, piece: Piece, start: date, source: UUID, kind: str, unit: DistinctKey) -> SetKey:
    return campaign, piece.value, start, source, kind, unit.value
