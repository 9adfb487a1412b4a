"""Decides which bands a request falls into."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import workspace_of

# Of a band in what the workspace reported in before nobody can say which are smaller: it is for all until it is edited.
_LAYERS = text("""
    SELECT asked.place, band.id, band.name, band.approvers
    FROM unnest(cast(:requests AS uuid[]), cast(:worths AS bigint[]), cast(:departments AS text[]),
        cast(:categories AS text[])) WITH ORDINALITY AS asked (request, worth, department, category, place)
    JOIN workspace ON workspace.workspace_id = :workspace
    JOIN band ON band.workspace_id = :workspace
        AND (band.above <= asked.worth OR band.currency <> workspace.currency)
        AND (band.department IS NULL OR band.department = asked.department OR EXISTS (
            SELECT FROM request_item i JOIN line l ON l.workspace_id = i.workspace_id AND l.id = i.line_id
            WHERE i.workspace_id = :workspace AND i.request_id = asked.request AND l.department = band.department))
        AND (band.category IS NULL OR band.category = asked.category)
    ORDER BY asked.place, band.above, band.id
""")


async def layers_of(session: AsyncSession, requests: Sequence[Any]) -> list[list[Any]]:
    """Of each request's worth, department (those of its items' lines too) and category: id, name and approvers of each
    band, the lowest first. One query."""
    values = {
        "requests": [each.id for each in requests], "worths": [each.worth or 0 for each in requests],
        "departments": [each.department for each in requests], "categories": [each.category for each in requests],
    }  # fmt: skip
    found: list[list[Any]] = [[] for _ in requests]
    for row in (await session.execute(_LAYERS, {"workspace": workspace_of(session), **values})).all():
        found[row.place - 1].append(row)
    return found
