"""Decides how objectives are read and written."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select
from sqlmodel.sql.expression import SelectOfScalar

from chassis.db import workspace_of
from chassis.errors import NotFound
from chassis.paging import filtered
from services.goals.objective.models import Objective
from services.goals.objective.rules import Stakeholder


async def add_objective(session: AsyncSession, objective: Objective) -> None:
    session.add(objective)
    await session.flush()


async def get_objective(session: AsyncSession, objective_id: UUID) -> Objective:
    objective = await session.get(Objective, (workspace_of(session), objective_id))
    if objective is None:
        raise NotFound(f"no objective {objective_id}")
    return objective


def select_objectives(ids: Sequence[UUID], stakeholders: Sequence[Stakeholder]) -> SelectOfScalar[Objective]:
    """Objectives that fit every filter given."""
    return filtered(Objective, id=ids, stakeholder=stakeholders)


async def names_of(session: AsyncSession, objective_ids: Sequence[UUID]) -> dict[UUID, str]:
    """Objectives' names by id."""
    rows = await session.execute(
        select(Objective.id, Objective.name).where(col(Objective.id).in_(list(dict.fromkeys(objective_ids))))
    )
    return {row.id: row.name for row in rows.all()}
