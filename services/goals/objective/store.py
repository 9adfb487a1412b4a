"""Decides how objectives are read and written."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from services.goals.objective.models import Objective


async def add_objective(session: AsyncSession, objective: Objective) -> None:
    session.add(objective)
    await session.flush()


async def names_of(session: AsyncSession, objective_ids: Sequence[UUID]) -> dict[UUID, str]:
    """Objectives' names by id."""
    rows = await session.execute(
        select(Objective.id, Objective.name).where(col(Objective.id).in_(list(dict.fromkeys(objective_ids))))
    )
    return {row.id: row.name for row in rows.all()}
