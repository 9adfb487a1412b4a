"""Decides which bands a request falls into."""

from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import workspace_of

_LAYERS = text("""
    SELECT id, name, approvers FROM band
    WHERE workspace_id = :workspace AND above <= :worth AND (department IS NULL OR department = :department)
        AND (category IS NULL OR category = :category)
    ORDER BY above, id
""")


async def layers_of(session: AsyncSession, worth: int, department: str, category: str | None) -> list[Any]:
    """Id, name and approvers of each, the lowest first."""
    asked = {"workspace": workspace_of(session), "worth": worth, "department": department, "category": category}
    return list((await session.execute(_LAYERS, asked)).all())
