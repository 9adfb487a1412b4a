"""Decides how budget lines are read and written."""

from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, func, select

from chassis.db import get_row, workspace_of
from chassis.errors import Invalid
from chassis.reading import Source
from services.budget.plan.models import Line


async def add_line(session: AsyncSession, line: Line) -> None:
    session.add(line)
    await session.flush()


async def get_line(session: AsyncSession, line_id: UUID) -> Line:
    return await get_row(session, Line, line_id)


async def get_parent(session: AsyncSession, parent_id: UUID) -> Line:
    """The line that another shall lie below, held so that its period can't change meanwhile; Invalid, naming
    `parent_id`, when there is none."""
    parent = await session.get(Line, (workspace_of(session), parent_id), with_for_update={"read": True})
    if parent is None:
        raise Invalid.field("parent_id", f"no line {parent_id}", "unknown")
    return parent


async def reach_of_children(session: AsyncSession, line_id: UUID) -> tuple[date, date] | None:
    """The first day and the end of the lines below this one; None if there are none."""
    below = select(func.min(Line.period_start), func.max(Line.period_end)).where(
        col(Line.workspace_id) == workspace_of(session), col(Line.parent_id) == line_id
    )
    first, last = (await session.execute(below)).one()
    return (first, last) if first else None


async def is_line(session: AsyncSession, line_id: UUID) -> bool:
    return await session.get(Line, (workspace_of(session), line_id)) is not None


_FRAME = text("SELECT department, period_end FROM line WHERE workspace_id = :workspace AND id = :line")


async def frame_of(source: Source, line_id: UUID) -> Any:
    """A line's department and the end of its period."""
    return (await source.execute(_FRAME, {"workspace": workspace_of(source), "line": line_id})).one_or_none()
