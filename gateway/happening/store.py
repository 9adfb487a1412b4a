"""Decides how what happens is kept and forgotten: one statement for all that a part tells at once of a workspace."""

import json
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import workspace_of
from chassis.inbox import Incoming
from gateway.happening.rules import part_of

CHANNEL = "happening"


async def keep(session: AsyncSession, events: Sequence[Incoming], now: datetime) -> None:
    """Keeps events of a workspace in this order, and wakes whoever waits for them."""
    workspace = workspace_of(session)
    # Positions come from a sequence, whose values commit out of order unless one waits for the other.
    await session.execute(_TAKE_TURN, {"workspace": str(workspace)})
    row = {
        "workspace": workspace, "ids": [each.id for each in events], "types": [each.type for each in events],
        "parts": [part_of(each.type) for each in events], "subjects": [each.subject for each in events],
        "data": [json.dumps(each.data) for each in events], "at": [each.time for each in events],
        "traces": [each.traceparent for each in events], "now": now,
    }  # fmt: skip
    await session.execute(_KEEP, row)
    await session.execute(_WAKE, {"channel": CHANNEL, "workspace": str(workspace)})


async def forget(session: AsyncSession, before: datetime) -> None:
    """Forgets what came in before an instant (worker transaction)."""
    await session.execute(text("DELETE FROM happening WHERE received_at < :before"), {"before": before})


_TAKE_TURN = text("SELECT pg_advisory_xact_lock(hashtextextended('happening:' || :workspace, 0))")
_KEEP = text("""
    INSERT INTO happening (workspace_id, id, type, part, subject, data, occurred_at, received_at, trace)
    SELECT cast(:workspace AS uuid), id, type, part, subject, cast(data AS jsonb), at, :now, trace
    FROM unnest(cast(:ids AS uuid[]), cast(:types AS text[]), cast(:parts AS text[]), cast(:subjects AS text[]),
        cast(:data AS text[]), cast(:at AS timestamptz[]), cast(:traces AS text[])) WITH ORDINALITY
        AS told (id, type, part, subject, data, at, trace, place)
    ORDER BY place
""")
_WAKE = text("SELECT pg_notify(:channel, :workspace)")
