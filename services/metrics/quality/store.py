"""Decides what a source's quality is told by: counts of what came by the hour, and of steps by the day."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text

from chassis.db import workspace_of
from chassis.reading import Source
from services.metrics.quality.rules import Hour, Steps
from services.metrics.rollup.rules import IN_SETS, NO_CAMPAIGN
from services.metrics.rollup.sets import Sets, sets_of, sizes_together

_SOURCES = text("SELECT id, received_at FROM source WHERE workspace_id = :workspace AND id = ANY(:ids) ORDER BY id")
_HOURS = text("""
    SELECT source_id, hour, received, stored, unmapped, quarantined, refused FROM intake
    WHERE workspace_id = :workspace AND source_id = ANY(:ids) AND hour >= :since ORDER BY source_id, hour
""")
# Of what is in sets, people are told and not how often; the roll-ups know them by campaign and month. What is opened
# may have been delivered in the month before.
_STEPS = text("""
    SELECT s.id AS source_id, c.type, sum(c.count)::bigint AS many
    FROM unnest(cast(:ids AS uuid[])) AS s(id)
    JOIN (SELECT id FROM campaign WHERE workspace_id = :workspace UNION ALL SELECT cast(:none AS uuid)) n ON true
    JOIN counted c ON c.workspace_id = :workspace AND c.campaign_id = n.id AND c.grain = 'month'
        AND c.start >= cast(:month AS date) - interval '1 month' AND c.source_id = s.id
    WHERE c.type IN ('queued', 'sent', 'delivered') GROUP BY 1, 2
""")
_REACHED = """
    SELECT s.id AS source_id, r.type, {FIGURES}
    FROM unnest(cast(:ids AS uuid[])) AS s(id)
    JOIN (SELECT id FROM campaign WHERE workspace_id = :workspace UNION ALL SELECT cast(:none AS uuid)) n ON true
    JOIN reach r ON r.workspace_id = :workspace AND r.campaign_id = n.id AND r.grain = 'month' AND r.start >= :month
        AND r.source_id = s.id AND r.unit = 'recipient_message'
"""
_SIZES = text(_REACHED.replace("{FIGURES}", "sum(r.human + r.bot + r.unknown)::bigint AS many") + "GROUP BY 1, 2")
_SETS = text(_REACHED.replace("{FIGURES}", "r.humans, r.bots, r.unknowns"))


@dataclass
class Told:
    """What is known of one source."""

    source_id: UUID
    last_at: datetime | None
    hours: list[Hour] = field(default_factory=list)
    steps: Steps = field(default_factory=Steps)


async def told_by(reader: Source, source_ids: Collection[UUID], since: datetime, month: date) -> Sequence[Told]:
    """What each source told since then; those that don't exist are left out."""
    named: dict[str, Any] = {"workspace": workspace_of(reader), "ids": list(source_ids)}
    found = {
        row.id: Told(row.id, row.received_at) for row in (await reader.execute(_SOURCES, named)).all()
    }  # fmt: skip
    for row in (await reader.execute(_HOURS, {**named, "since": since})).all():
        found[row.source_id].hours.append(
            Hour(row.hour, row.received, row.stored, row.unmapped, row.quarantined, row.refused)
        )
    many: dict[UUID, dict[str, int]] = defaultdict(dict)
    named |= {"month": month, "none": NO_CAMPAIGN}
    for statement in (_STEPS, _SIZES):
        for row in (await reader.execute(statement, named)).all():
            many[row.source_id][row.type] = row.many
    doubted = [
        source_id
        for source_id, of in many.items()
        if 0 < of.get("delivered", 0) < max(of.get(kind, 0) for kind in IN_SETS)
    ]
    if doubted:
        for (source_id, kind), reached in (await _together(reader, {**named, "ids": doubted})).items():
            many[source_id][kind] = reached
    for source_id, told in found.items():
        of = many[source_id]
        told.steps = Steps(
            of.get("sent", 0) or of.get("queued", 0), of.get("delivered", 0), of.get("opened", 0), of.get("clicked", 0)
        )
    return list(found.values())


async def _together(reader: Source, named: Mapping[str, Any]) -> dict[tuple[UUID, str], int]:
    """How many people did something in any of the months: who did in two is one."""
    found: dict[tuple[UUID, str], list[Sets]] = defaultdict(list)
    for row in (await reader.execute(_SETS, named)).all():
        found[row.source_id, row.type].append(sets_of(row))
    return {place: sum(vars(sizes_together(sets)).values()) for place, sets in found.items()}
