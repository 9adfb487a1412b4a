"""Decides whom somebody stands in for."""

from datetime import date

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import workspace_of


async def absent_for(session: AsyncSession, stand_in: str, today: date) -> set[str]:
    """Those in whose place somebody may decide today."""
    rows = await session.scalars(
        text("""SELECT absent FROM delegation
                WHERE workspace_id = :workspace AND stand_in = :stand_in AND start <= :today AND finish > :today"""),
        {"workspace": workspace_of(session), "stand_in": stand_in, "today": today},
    )
    return set(rows.all())
