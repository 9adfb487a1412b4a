"""Decides how events are read for a file: in the order of their time, batch by batch."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import workspace_of
from services.metrics.export.rules import BATCH

# The id of the last: ids stand in the order of time.
Position = UUID


@dataclass(frozen=True)
class Wanted:
    """Which events: half-open in time; of these campaigns, sources and types, or of all. `people`: with addresses."""

    begins: datetime
    ends: datetime
    campaign_ids: tuple[UUID, ...]
    source_ids: tuple[UUID, ...]
    types: tuple[str, ...]
    people: bool


_EVENTS = text("""
    SELECT e.occurred_at, e.id, e.source_id, e.campaign_id, e.type, r.address, e.message_id, e.url, e.received_at,
        e.verdict, array_to_string(e.reasons, ' ')
    FROM (
        SELECT * FROM occurrence
        WHERE workspace_id = :workspace AND id >= first_id(cast(:begins AS timestamptz))
            AND id < first_id(cast(:ends AS timestamptz)) AND (cast(:last AS uuid) IS NULL OR id > cast(:last AS uuid))
            AND (cast(:campaigns AS uuid[]) IS NULL OR campaign_id = ANY(cast(:campaigns AS uuid[])))
            AND (cast(:sources AS uuid[]) IS NULL OR source_id = ANY(cast(:sources AS uuid[])))
            AND (cast(:types AS text[]) IS NULL OR type = ANY(cast(:types AS text[])))
        ORDER BY id LIMIT :most
    ) AS e
    LEFT JOIN recipient r ON :people AND r.workspace_id = e.workspace_id AND r.id = e.recipient_id
    ORDER BY e.id
""")


async def events_after(
    session: AsyncSession, wanted: Wanted, after: Position | None
) -> tuple[list[Sequence[Any]], Position | None]:
    """The next events as a file's rows, and where they end; None: there are no more."""
    rows = await session.execute(
        _EVENTS,
        {
            "workspace": workspace_of(session), "begins": wanted.begins, "ends": wanted.ends, "last": after,
            "campaigns": list(wanted.campaign_ids) or None,
            "sources": list(wanted.source_ids) or None, "types": list(wanted.types) or None, "most": BATCH,
            "people": wanted.people,
        },
    )  # fmt: skip
    found: list[Sequence[Any]] = []
    last: Position | None = None
    for at, event_id, source_id, campaign_id, kind, address, message, url, received, verdict, reasons in rows:
        campaign = None if campaign_id is None else str(campaign_id)
        found.append(
            (str(event_id), str(source_id), campaign, kind, address, message, url, at, received, verdict, reasons)
        )
        last = event_id
    return found, last if len(found) == BATCH else None
