"""Decides how a tree of lines is copied, and read beside what became of it."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from chassis.db import workspace_of
from chassis.fields import new_id
from chassis.reading import Source
from services.budget.scenario.models import ScenarioLine


async def tree_of(session: AsyncSession, line_id: UUID) -> list[Any]:
    """A line and all below it, with what each has of its own; one query."""
    return list((await session.execute(_TREE, {"workspace": workspace_of(session), "line": line_id})).all())


async def copy_tree(session: AsyncSession, scenario_id: UUID, tree: Sequence[Any]) -> None:
    """Keeps what each line has as what it shall have: rows of `tree_of`, or `Planned`."""
    for row in tree:
        session.add(
            ScenarioLine(
                workspace_id=workspace_of(session), id=new_id(), scenario_id=scenario_id, line_id=row.id,
                minor=int(row.minor), currency=row.currency, period_start=row.period_start, period_end=row.period_end,
            )
        )  # fmt: skip
    await session.flush()


async def lines_of(session: AsyncSession, scenario_id: UUID) -> list[ScenarioLine]:
    """What a scenario plans, in the order in which lines are locked."""
    found = await session.scalars(
        select(ScenarioLine)
        .where(col(ScenarioLine.workspace_id) == workspace_of(session), col(ScenarioLine.scenario_id) == scenario_id)
        .order_by(col(ScenarioLine.line_id))
    )
    return list(found.all())


async def differences(source: Source, scenario_id: UUID) -> list[Any]:
    """Each line of a scenario beside what it is now, the first ones first."""
    return list((await source.execute(_BESIDE, {"workspace": workspace_of(source), "scenario": scenario_id})).all())


_TREE = text("""
    WITH RECURSIVE tree AS (
        SELECT id, 1 AS depth FROM line WHERE workspace_id = :workspace AND id = :line
        UNION ALL
        SELECT line.id, tree.depth + 1 FROM tree JOIN line ON line.workspace_id = :workspace
            AND line.parent_id = tree.id
    )
    SELECT line.id, line.currency, line.period_start, line.period_end, b.allotted + b.transferred AS minor
    FROM tree JOIN line ON line.workspace_id = :workspace AND line.id = tree.id
    JOIN balance b ON b.workspace_id = :workspace AND b.id = tree.id
    ORDER BY tree.depth, line.id
""")
_BESIDE = text("""
    SELECT s.line_id, line.name, line.currency, b.allotted + b.transferred AS minor, s.minor AS wanted,
        b.allotted + b.transferred - b.reserved - b.committed - b.actual AS available,
        line.period_start, line.period_end, s.period_start AS wanted_start, s.period_end AS wanted_end
    FROM scenario_line s JOIN line ON line.workspace_id = s.workspace_id AND line.id = s.line_id
    JOIN balance b ON b.workspace_id = s.workspace_id AND b.id = s.line_id
    WHERE s.workspace_id = :workspace AND s.scenario_id = :scenario ORDER BY s.id
""")
