"""Decides how events that wait to be judged are found with what stands around them, and how verdicts are kept."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import workspace_of
from services.metrics.event.rules import EventType, EventVerdict
from services.metrics.judging.models import unjudged
from services.metrics.judging.rules import LEAVING, REACH, Act
from services.metrics.rollup.moving import Moved
from services.metrics.suppression.rules import Sign

# Those of a large post are some hundreds of events each.
MOST_NOTES = 50

# Two who look at once share the notes between them.
_TAKE = text("""
    DELETE FROM unjudged WHERE workspace_id = :workspace AND id IN (
        SELECT id FROM unjudged WHERE workspace_id = :workspace ORDER BY id LIMIT :most FOR UPDATE SKIP LOCKED
    ) RETURNING events
""")
_NOTED = text("""
    SELECT e.id, e.type, e.source_id, e.recipient_id, r.address_hash, e.occurred_at, e.verdict
    FROM unnest(cast(:ids AS uuid[])) AS noted(id)
    JOIN occurrence e ON e.workspace_id = :workspace AND e.id = noted.id
    JOIN recipient r ON r.workspace_id = :workspace AND r.id = e.recipient_id
    ORDER BY e.id
""")
# What the recipients of these did around then, and who else of a company left. An id begins with its time.
_AROUND = text("""
    WITH noted AS MATERIALIZED (
        SELECT e.id, e.source_id, e.recipient_id, e.type, first_id(e.occurred_at - cast(:reach AS interval)) AS since,
            first_id(e.occurred_at + cast(:reach AS interval)) AS until,
            first_id(e.occurred_at - cast(:leaving AS interval)) AS leaving_since,
            first_id(e.occurred_at + cast(:leaving AS interval)) AS leaving_until
        FROM unnest(cast(:ids AS uuid[])) AS each(id)
        JOIN occurrence e ON e.workspace_id = :workspace AND e.id = each.id
    ), around AS (
        SELECT o.* FROM noted n CROSS JOIN LATERAL (
            SELECT * FROM occurrence WHERE workspace_id = :workspace AND recipient_id = n.recipient_id
                AND type IN ('clicked', 'unsubscribed') AND id >= n.since AND id < n.until
            OFFSET 0
        ) AS o WHERE n.type IN ('clicked', 'unsubscribed')
        UNION SELECT o.* FROM noted n CROSS JOIN LATERAL (
            SELECT * FROM occurrence WHERE workspace_id = :workspace AND source_id = n.source_id
                AND type = 'unsubscribed' AND id >= n.leaving_since AND id < n.leaving_until
            OFFSET 0
        ) AS o WHERE n.type = 'unsubscribed'
    )
    SELECT a.id, a.type, a.recipient_id, split_part(r.address, '@', 2) AS domain, a.message_id, a.url, a.occurred_at,
        a.verdict, a.reasons
    FROM around a JOIN recipient r ON r.workspace_id = :workspace AND r.id = a.recipient_id
""")
_REVISE = text("""
    UPDATE occurrence e SET verdict = 'bot', reasons = string_to_array(found.reasons, ',')
    FROM unnest(cast(:ids AS uuid[]), cast(:reasons AS text[])) AS found(id, reasons)
    WHERE e.workspace_id = :workspace AND e.id = found.id AND e.verdict = 'human' AND e.reasons = '{}'
    RETURNING e.source_id, e.campaign_id, local_day(e.occurred_at, :zone) AS day, e.type, e.recipient_id,
        pair_hash(e.recipient_id, e.message_id) AS pair
""")


@dataclass(frozen=True)
class Noted:
    """What waited: signs of whom not to write to, and what was done around each."""

    signs: Sequence[Sign]
    acts: Sequence[Act]


async def take_noted(session: AsyncSession, most: int = MOST_NOTES) -> Noted | None:
    """Takes what waits to be judged, so much at most; None when nothing does. If this transaction is cut short, it
    waits again."""
    workspace = workspace_of(session)
    taken = (await session.execute(_TAKE, {"workspace": workspace, "most": most})).scalars().all()
    if not taken:
        return None
    ids = [each for events in taken for each in events]
    return Noted(await signs_of(session, ids), await _around(session, ids))


async def signs_of(session: AsyncSession, ids: Collection[UUID]) -> list[Sign]:
    """What these events say of whom not to write to."""
    if not ids:
        return []
    rows = (await session.execute(_NOTED, {"workspace": workspace_of(session), "ids": list(ids)})).all()
    return [
        Sign(row.id, row.source_id, row.address_hash, EventType(row.type), row.occurred_at, EventVerdict(row.verdict))
        for row in rows
    ]


async def waiting_signs(session: AsyncSession, address_hash: bytes) -> list[Sign]:
    """What somebody's events that wait to be judged say of whom not to write to."""
    waiting = text("SELECT unnest(events) FROM unjudged WHERE workspace_id = :workspace")
    ids = (await session.execute(waiting, {"workspace": workspace_of(session)})).scalars().all()
    return [sign for sign in await signs_of(session, ids) if bytes(sign.address_hash) == address_hash]


async def _around(session: AsyncSession, ids: Sequence[UUID]) -> list[Act]:
    rows = await session.execute(
        _AROUND, {"workspace": workspace_of(session), "ids": list(ids), "reach": REACH, "leaving": LEAVING}
    )
    return [
        Act(
            row.id, EventType(row.type), row.recipient_id, row.domain, row.message_id, row.url, row.occurred_at,
            EventVerdict(row.verdict), tuple(row.reasons),
        )
        for row in rows.all()
    ]  # fmt: skip


async def revise(session: AsyncSession, found: Mapping[UUID, tuple[str, ...]], zone: str) -> list[Moved]:
    """Makes these events a machine's, unless somebody has judged them meanwhile: those that are now. Share the
    numbers before."""
    rows = await session.execute(
        _REVISE,
        {
            "workspace": workspace_of(session), "zone": zone, "ids": list(found),
            "reasons": [",".join(why) for why in found.values()],
        },
    )  # fmt: skip
    return [
        Moved(row.source_id, row.campaign_id, row.day, row.type, row.recipient_id, bytes(row.pair))
        for row in rows.all()
    ]


async def unjudged_workspaces(session: AsyncSession) -> Sequence[UUID]:
    """Workspaces with something that waits (worker transaction)."""
    return (await session.execute(select(unjudged.c.workspace_id).distinct())).scalars().all()
