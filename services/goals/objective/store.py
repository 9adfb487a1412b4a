"""Decides how objectives are read and written."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select
from sqlmodel.sql.expression import SelectOfScalar

from chassis.db import get_row
from chassis.paging import filtered
from services.goals.objective.models import Objective
from services.goals.objective.rules import Stakeholder


async def add_objective(session: AsyncSession, objective: Objective) -> None:
    session.add(objective)
    await session.flush()


async def get_objective(session: AsyncSession, objective_id: UUID) -> Objective:
    return await get_row(session, Objective, objective_id)


def select_objectives(ids: Sequence[UUID], stakeholders: Sequence[Stakeholder]) -> SelectOfScalar[Objective]:
    """Objectives that fit every filter given."""
    return filtered(Objective, id=ids, stakeholder=stakeholders)


async def names_of(session: AsyncSession, objective_ids: Sequence[UUID]) -> dict[UUID, str]:
    """Objectives' names by id."""
    rows = await session.execute(
        select(Objective.id, Objective.name).where(col(Objective.id).in_(list(dict.fromkeys(objective_ids))))
    )
    return {row.id: row.name for row in rows.all()}
