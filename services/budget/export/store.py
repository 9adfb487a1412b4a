"""Decides how the rows of a table are read to be taken away: in the order of their ids, so many at a time."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import workspace_of
from services.budget.export.rules import SHEETS, ExportKind, Sheet

FIRST = UUID(int=0)


async def rows_after(session: AsyncSession, kind: ExportKind, after: UUID, most: int) -> Sequence[Any]:
    asked = {"workspace": workspace_of(session), "after": after, "most": most}
    return (await session.execute(_STATEMENTS[kind], asked)).all()


def _statement(sheet: Sheet) -> TextClause:
    # All of it is from the table in `rules`, and nothing of a caller's.
    columns = ", ".join(f'{column} AS "{heading}"' for heading, column in sheet.columns.items())
    joins = " ".join(
        f"LEFT JOIN {table} ON {table}.workspace_id = t.workspace_id AND {table}.id = t.{key}"
        for table, key in sheet.joins.items()
    )
    return text(f"""
        SELECT {columns} FROM {sheet.table} t {joins}
        WHERE t.workspace_id = :workspace AND t.id > :after ORDER BY t.id LIMIT :most
    """)  # noqa: S608


_STATEMENTS: Mapping[ExportKind, TextClause] = {kind: _statement(sheet) for kind, sheet in SHEETS.items()}
