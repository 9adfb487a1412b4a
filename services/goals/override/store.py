"""Decides how overrides are read and written, and which of them hold."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from services.goals.goal.models import Goal
from services.goals.override.models import Override


async def add_override(session: AsyncSession, override: Override) -> None:
    session.add(override)
    await session.flush()


async def overrides_in_force(session: AsyncSession, goals: Sequence[Goal]) -> dict[UUID, dict[str, Override]]:
    """Each goal's overrides since it last changed, the newest by letter."""
    since = {goal.id: goal.changed_at for goal in goals}
    found: dict[UUID, dict[str, Override]] = {goal_id: {} for goal_id in since}
    rows = await session.scalars(select(Override).where(col(Override.goal_id).in_(since)).order_by(col(Override.id)))
    for row in rows.all():
        changed_at = since[row.goal_id]
        if changed_at is None or row.overridden_at >= changed_at:
            found[row.goal_id][row.letter] = row
    return found
