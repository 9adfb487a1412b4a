"""Decides how callers take away all that there is of something, as a table that a spreadsheet shows and never runs."""

from collections.abc import AsyncIterator

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse

from chassis.db import Database
from chassis.identity import CurrentPrincipal, Principal, scope
from chassis.spreadsheet import csv_lines
from services.budget.export import store
from services.budget.export.models import cells
from services.budget.export.rules import SHEETS, ExportKind

router = APIRouter(tags=["exports"])

BATCH = 2000


@router.get(
    "/v1/exports/{kind}",
    dependencies=[scope("budget:read")],
    openapi_extra={"x-graph": False},
    response_class=StreamingResponse,
    responses={200: {"description": "All rows.", "content": {"text/csv": {"schema": {"type": "string"}}}}},
)
async def export_budget(kind: ExportKind, request: Request, who: CurrentPrincipal) -> StreamingResponse:
    """All rows of a kind as CSV, the oldest first; money as amounts beside their currency. A cell that a spreadsheet
    would take for a formula begins with an apostrophe. People are ids here, whoever asks."""
    headers = {"Content-Disposition": f'attachment; filename="{kind}.csv"'}
    return StreamingResponse(_lines(request.app.state.database, who, kind), media_type="text/csv", headers=headers)


async def _lines(database: Database, who: Principal, kind: ExportKind) -> AsyncIterator[str]:
    """Batch by batch, each in a transaction of its own: a slow reader holds none open."""
    sheet = SHEETS[kind]
    yield csv_lines([list(sheet.columns)])
    last = store.FIRST
    while True:
        async with database.caller(who) as session:
            rows = await store.rows_after(session, kind, last, BATCH)
        yield csv_lines([list(cells(sheet, row)) for row in rows])
        if len(rows) < BATCH:
            return
        last = rows[-1].id
