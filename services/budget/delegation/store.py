"""Decides whom somebody stands in for."""

from collections.abc import Collection
from datetime import date

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import workspace_of


async def absent_for(session: AsyncSession, stand_ins: Collection[str], today: date) -> dict[str, set[str]]:
    """Those in whose place each of somebody may decide today."""
    rows = await session.execute(
        text("""SELECT stand_in, absent FROM delegation WHERE workspace_id = :workspace
                AND stand_in = ANY(:stand_ins) AND start <= :today AND finish > :today"""),
        {"workspace": workspace_of(session), "stand_ins": list(stand_ins), "today": today},
    )
    found: dict[str, set[str]] = {each: set() for each in stand_ins}
    for row in rows.all():
        found[row.stand_in].add(row.absent)
    return found
