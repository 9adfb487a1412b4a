"""Decides how a mapping's lines are looked for."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import text

from chassis.db import workspace_of
from chassis.reading import Source


async def unknown_line(source: Source, line_ids: Sequence[UUID]) -> UUID | None:
    """One of these that no line of the workspace has."""
    asked = {"workspace": workspace_of(source), "ids": list(line_ids)}
    found = {row.id for row in (await source.execute(_LINES, asked)).all()}
    return next((each for each in line_ids if each not in found), None)


_LINES = text("SELECT id FROM line WHERE workspace_id = :workspace AND id = ANY(:ids)")
