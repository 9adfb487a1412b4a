"""Decides which bands a request falls into."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import workspace_of

_LAYERS = text("""
    SELECT asked.place, band.id, band.name, band.approvers
    FROM unnest(cast(:worths AS bigint[]), cast(:departments AS text[]), cast(:categories AS text[])) WITH ORDINALITY
        AS asked (worth, department, category, place)
    JOIN band ON band.workspace_id = :workspace AND band.above <= asked.worth
        AND (band.department IS NULL OR band.department = asked.department)
        AND (band.category IS NULL OR band.category = asked.category)
    ORDER BY asked.place, band.above, band.id
""")


async def layers_of(session: AsyncSession, asked: Sequence[tuple[int, str, str | None]]) -> list[list[Any]]:
    """Of each worth, department and category: id, name and approvers of each, the lowest first. One query."""
    worths, departments, categories = zip(*asked, strict=True)
    values = {"worths": list(worths), "departments": list(departments), "categories": list(categories)}
    found: list[list[Any]] = [[] for _ in asked]
    for row in (await session.execute(_LAYERS, {"workspace": workspace_of(session), **values})).all():
        found[row.place - 1].append(row)
    return found
