"""Decides what a source's quality is told by: counts of what came by the hour, and of steps by the day."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import text

from chassis.db import workspace_of
from chassis.reading import Source
from services.metrics.quality.rules import Hour, Steps

_SOURCES = text("SELECT id, received_at FROM source WHERE workspace_id = :workspace AND id = ANY(:ids) ORDER BY id")
_HOURS = text("""
    SELECT source_id, hour, received, stored, unmapped, quarantined, refused FROM intake
    WHERE workspace_id = :workspace AND source_id = ANY(:ids) AND hour >= :since ORDER BY source_id, hour
""")
# Of a cell, people who did something at all, not how often; the roll-ups know them by campaign and month.
_STEPS = text("""
    SELECT s.id AS source_id, c.type, sum(c.count)::bigint AS many
    FROM unnest(cast(:ids AS uuid[])) AS s(id)
    JOIN (SELECT id FROM campaign WHERE workspace_id = :workspace) n ON true
    JOIN counted c ON c.workspace_id = :workspace AND c.campaign_id = n.id AND c.grain = 'month'
        AND c.start >= :month AND c.source_id = s.id
    GROUP BY 1, 2
""")
_REACHED = text("""
    SELECT s.id AS source_id, r.type, sum(r.human + r.bot + r.unknown)::bigint AS many
    FROM unnest(cast(:ids AS uuid[])) AS s(id)
    JOIN (SELECT id FROM campaign WHERE workspace_id = :workspace) n ON true
    JOIN reach r ON r.workspace_id = :workspace AND r.campaign_id = n.id AND r.grain = 'month' AND r.start >= :month
        AND r.source_id = s.id AND r.unit = 'recipient_message'
    GROUP BY 1, 2
""")


@dataclass
class Told:
    """What is known of one source."""

    source_id: UUID
    last_at: datetime | None
    hours: list[Hour] = field(default_factory=list)
    steps: Steps = field(default_factory=Steps)


async def told_by(reader: Source, source_ids: Collection[UUID], since: datetime, month: date) -> Sequence[Told]:
    """What each source told since then; those that don't exist are left out."""
    named = {"workspace": workspace_of(reader), "ids": list(source_ids)}
    found = {
        row.id: Told(row.id, row.received_at) for row in (await reader.execute(_SOURCES, named)).all()
    }  # fmt: skip
    for row in (await reader.execute(_HOURS, {**named, "since": since})).all():
        found[row.source_id].hours.append(
            Hour(row.hour, row.received, row.stored, row.unmapped, row.quarantined, row.refused)
        )
    many: dict[UUID, dict[str, int]] = defaultdict(dict)
    for statement in (_STEPS, _REACHED):
        for row in (await reader.execute(statement, {**named, "month": month})).all():
            many[row.source_id][row.type] = row.many
    for source_id, told in found.items():
        of = many[source_id]
        told.steps = Steps(
            of.get("sent", 0) or of.get("queued", 0), of.get("delivered", 0), of.get("opened", 0), of.get("clicked", 0)
        )
    return list(found.values())
