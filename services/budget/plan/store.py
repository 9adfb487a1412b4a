"""Decides how budget lines are read and written."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import workspace_of
from chassis.errors import Invalid, NotFound
from services.budget.plan.models import Line


async def add_line(session: AsyncSession, line: Line) -> None:
    session.add(line)
    await session.flush()


async def find_line(session: AsyncSession, line_id: UUID) -> Line | None:
    return await session.get(Line, (workspace_of(session), line_id))


async def get_line(session: AsyncSession, line_id: UUID) -> Line:
    line = await find_line(session, line_id)
    if line is None:
        raise NotFound(f"no line {line_id}")
    return line


async def get_parent(session: AsyncSession, parent_id: UUID) -> Line:
    """The line that another shall lie below; Invalid, naming `parent_id`, when there is none."""
    parent = await find_line(session, parent_id)
    if parent is None:
        raise Invalid.field("parent_id", f"no line {parent_id}", "unknown")
    return parent
