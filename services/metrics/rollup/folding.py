"""Decides how events become numbers: noted beside them as they are stored, folded in bulk."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from pyroaring import BitMap
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import workspace_of
from services.metrics.change.models import Change
from services.metrics.change.store import note_change
from services.metrics.event.rules import EventVerdict
from services.metrics.metric.rules import DistinctKey
from services.metrics.rollup.rules import IN_SETS, NO_CAMPAIGN, Piece, month_of
from services.metrics.rollup.sets import SetKey, Sets, number, unite_sets

# Notes that are folded in one transaction; a large one would hold what readers fold back for long.
MOST_NOTES = 5_000
# So many may be folded by whoever asks for numbers; beyond that the background does, and the watermark says so.
MOST_BY_READERS = 500

# Notes what the rows of `fresh` (source_id, campaign_id, occurred_at, type, verdict, recipient_id, message_id,
# received_at) add to the numbers. {WORKSPACE} and {ZONE} are the statement's own.
NOTE = f"""
    INSERT INTO uncounted (workspace_id, id, source_id, campaign_id, day, type, verdict, count, pairs, received_at)
    SELECT {{WORKSPACE}}, gen_random_uuid(), source_id, coalesce(campaign_id, '{NO_CAMPAIGN}'),
        local_day(occurred_at, {{ZONE}}), type, verdict, count(*),
        string_agg(pair_hash(recipient_id, message_id) || uuid_send(recipient_id), '')
            FILTER (WHERE type = ANY ('{{{{{",".join(sorted(IN_SETS))}}}}}') AND recipient_id IS NOT NULL),
        min(received_at)
    FROM fresh GROUP BY source_id, campaign_id, local_day(occurred_at, {{ZONE}}), type, verdict
"""

_TAKE = text("""
    WITH taken AS (
        DELETE FROM uncounted WHERE workspace_id = :workspace AND id IN (
            SELECT id FROM uncounted WHERE workspace_id = :workspace LIMIT :most
        ) RETURNING source_id, campaign_id, day, type, verdict, count, pairs
    ), added AS (
        INSERT INTO counted (workspace_id, campaign_id, grain, start, source_id, type, verdict, count)
        SELECT :workspace, campaign_id, piece.grain, piece.start, source_id, type, verdict, sum(count) FROM taken
        CROSS JOIN LATERAL (
            VALUES ('day', day), ('month', cast(date_trunc('month', cast(day AS timestamp)) AS date))
        ) AS piece(grain, start)
        GROUP BY campaign_id, piece.grain, piece.start, source_id, type, verdict
        ON CONFLICT (workspace_id, campaign_id, grain, start, source_id, type, verdict)
        DO UPDATE SET count = counted.count + excluded.count
    )
    SELECT campaign_id, day, source_id, type, verdict, string_agg(pairs, '') AS pairs, count(*) AS notes FROM taken
    GROUP BY campaign_id, day, source_id, type, verdict
""")


async def fold(session: AsyncSession, most: int = MOST_NOTES) -> int:
    """Adds what was noted to the numbers, in this transaction; how many notes that were.

    Whoever folds a workspace does so alone. A fold that is cut short never was: its notes are there again.
    """
    await _alone(session, "SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))")
    return await _fold_and_tell(session, most)


async def fold_little(session: AsyncSession, waiting: int) -> bool:
    """The same for who reads and has seen so many notes, if these are few and nobody else is at it; whether it did."""
    little = 0 < waiting <= MOST_BY_READERS
    if not little or not await _alone(session, "SELECT pg_try_advisory_xact_lock(hashtextextended(:key, 0))"):
        return False
    await _fold_and_tell(session, MOST_NOTES)
    return True


async def _alone(session: AsyncSession, statement: str) -> bool:
    return bool(await session.scalar(text(statement), {"key": f"fold:{workspace_of(session)}"}) is not False)


async def _fold_and_tell(session: AsyncSession, most: int) -> int:
    taken = await fold_untold(session, most)
    campaigns = ((None if row.campaign_id == NO_CAMPAIGN else row.campaign_id, row.day) for row in taken)
    await note_change(session, Change.over(campaigns), session.info["clock"]())
    return sum(row.notes for row in taken)


async def fold_untold(session: AsyncSession, most: int = MOST_NOTES) -> Sequence[Any]:
    """What was folded, by cell, type and verdict; for who holds the numbers alone, and tells of changes itself."""
    taken = (await session.execute(_TAKE, {"workspace": workspace_of(session), "most": most})).all()
    with_pairs = [row for row in taken if row.pairs]
    if with_pairs:
        numbers = await number(session, {each for row in with_pairs for each in _split(row.pairs)})
        added: dict[SetKey, Sets] = defaultdict(lambda: defaultdict(BitMap))
        for row in with_pairs:
            each = [numbers[name] for name in _split(row.pairs)]
            for unit, found in (
                (DistinctKey.RECIPIENT_MESSAGE, BitMap(each[::2])), (DistinctKey.RECIPIENT, BitMap(each[1::2])),
            ):  # fmt: skip
                for piece, start in ((Piece.DAY, row.day), (Piece.MONTH, month_of(row.day))):
                    key = (row.campaign_id, piece.value, start, row.source_id, row.type, unit.value)
                    added[key][EventVerdict(row.verdict)] |= found
        await unite_sets(session, added)
    return taken


def _split(names: bytes) -> list[bytes]:
    """Pairs and recipients by turns."""
    return [names[place : place + 16] for place in range(0, len(names), 16)]


async def uncounted_workspaces(session: AsyncSession) -> Sequence[UUID]:
    """Workspaces with something noted (worker transaction)."""
    return (await session.execute(text("SELECT DISTINCT workspace_id FROM uncounted"))).scalars().all()
