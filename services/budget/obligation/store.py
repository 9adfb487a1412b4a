"""Decides how obligations are found that others are to be told of."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import workspace_of
from services.budget.obligation.models import ObligationOverdue


async def untold(session: AsyncSession, now: datetime, most: int) -> list[tuple[UUID, UUID]]:
    """Workspace and id of those overdue by now, each in its workspace's own day (worker transaction). No zone is ahead
    of UTC by more than 14 hours: that bound is what the index is for."""
    rows = await session.execute(_UNTOLD, {"now": now, "most": most})
    return [(row.workspace_id, row.id) for row in rows.all()]


async def take_overdue(session: AsyncSession, obligation_id: UUID, today: date) -> ObligationOverdue | None:
    """What others are to be told of it, which nobody takes a second time. Its version stays: nothing that is read of it
    changes."""
    asked = {"workspace": workspace_of(session), "id": obligation_id, "today": today}
    row = (await session.execute(_TAKE, asked)).one_or_none()
    return ObligationOverdue.model_validate(row._asdict()) if row else None


_UNTOLD = text("""
    SELECT workspace_id, id FROM obligation JOIN workspace USING (workspace_id)
    WHERE tell_on <= cast(:now AT TIME ZONE 'UTC' + interval '14 hours' AS date)
        AND tell_on <= cast(:now AT TIME ZONE zone AS date)
    ORDER BY tell_on LIMIT :most
""")

_TAKE = text("""
    UPDATE obligation SET tell_on = NULL WHERE workspace_id = :workspace AND id = :id AND tell_on <= :today
    RETURNING id AS obligation_id, vendor_id, contract_id, owner, due
""")
