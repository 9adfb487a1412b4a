"""Decides what callers can do with imports of other systems' files, and how they take away what became of the rows."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.answers import listed, of_row, read_row
from chassis.db import Database, Now, Reading, Session, add_row, calling, workspace_of
from chassis.editing import IfMatch, held
from chassis.errors import Conflict, Forbidden, Invalid
from chassis.fields import Money
from chassis.idempotency import IdempotentRoute
from chassis.identity import CurrentPrincipal, Principal, scope
from chassis.jobs import defer
from chassis.listing import Fields, Listing, Parent, fields_of, listing
from chassis.paging import Groups, Page
from chassis.spreadsheet import csv_lines
from services.budget.mapping.models import StatementMapping
from services.budget.statement import store
from services.budget.statement.actions import GO_ON, KEPT, resume
from services.budget.statement.intake import received
from services.budget.statement.models import (
    Statement,
    StatementRead,
    StatementRow,
    StatementRowRead,
    StatementUndo,
    StatementUpload,
)
from services.budget.statement.rules import StatementState, assert_postable, assert_undoable

# Uploads take no Idempotency-Key: their body is never in memory, and what came twice is found row by row.
uploads = APIRouter(tags=["statements"])
router = APIRouter(route_class=IdempotentRoute, tags=["statements"])

APPROVE = "budget:approve"
EXPORT_BATCH = 2000
_BODY = StatementUpload.model_json_schema()
_BODY["properties"]["file"] = {"type": "string", "format": "binary", "description": "CSV, or a workbook (XLSX)."}
_BODY["required"] = ["file", *_BODY["required"]]

DERIVED: Any = {
    "date": of_row(lambda row: row.dated),
    "amount": of_row(lambda row: None if row.minor is None else Money.of_minor(row.minor, row.currency)),
}


@uploads.post(
    "/v1/statements",
    status_code=201,
    dependencies=[scope("budget:write")],
    openapi_extra={
        "x-graph": False,
        "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _BODY}}},
    },
)
async def create_statement(request: Request, who: CurrentPrincipal, now: Now) -> StatementRead:
    """Takes in a file of a bank, a card, an ERP or an ad platform, and posts it by and by: see its `state`, and
    `/v1/statement-rows` for each row. Rows with the number of an order become its invoices, all others spending of a
    line, so this takes the scope budget:approve; a `dry_run`, which only says what each row would do, doesn't. A row
    that is there already, in this file or another one, isn't posted again. 413 beyond the largest size."""
    async with received(request) as upload:
        asked = upload.asked
        _assert_may_post(who, dry_run=asked.dry_run)
        async with calling(request, who) as session:
            mapping = await session.get(StatementMapping, (who.workspace_id, asked.mapping_id))
            if mapping is None:
                raise Invalid.field("mapping_id", f"no mapping {asked.mapping_id}", "unknown")
            statement = Statement.model_validate(
                {
                    "workspace_id": workspace_of(session), "mapping_id": mapping.id, "filename": upload.filename,
                    "size": upload.size, "sha256": upload.sha256, "reading": _reading(mapping),
                    "dry_run": asked.dry_run, "uploaded_by": who.subject, "uploaded_at": now,
                    "posted_by": None if asked.dry_run else who.subject,
                }
            )  # fmt: skip
            await add_row(session, statement)
            await upload.keep(session, statement)
            await store.drop_old_parts(session, now - KEPT)
            await defer(session, GO_ON, statement.id)
            return StatementRead.of(statement)


def _reading(mapping: StatementMapping) -> dict[str, Any]:
    """The mapping as it is now: what becomes of it later doesn't change how this file is read."""
    how = mapping.how
    return {
        "columns": mapping.columns, "sheet": mapping.sheet, "date_order": how.date_order,
        "decimal_mark": how.decimal_mark, "spending": how.spending, "currency": how.currency,
        "line_id": str(mapping.line_id) if mapping.line_id else None, "lines": mapping.lines,
    }  # fmt: skip


@router.get("/v1/statements/{id}", dependencies=[scope("budget:read")])
async def get_statement(id: UUID, reading: Reading, fields: Fields = fields_of(StatementRead)) -> StatementRead:
    """One import, and how far it is."""
    return await read_row(reading, Statement, id, StatementRead, fields)


@router.get("/v1/statements", dependencies=[scope("budget:read")])
async def list_statements(
    reading: Reading,
    asked: Listing[StatementRead] = listing(
        Statement, StatementRead, sort=("uploaded_at",), by=("state", "sha256", "uploaded_at"),
        parents={"mapping_id": Parent(Statement.mapping_id)},
    ),
) -> Page[StatementRead] | Groups[StatementRead]:  # fmt: skip
    """Imports, the oldest first unless sorted otherwise."""
    return await listed(reading, asked)


@router.post("/v1/statements/{id}/post", dependencies=[scope(APPROVE)])
async def post_statement(
    id: UUID, if_match: IfMatch, session: Session, who: CurrentPrincipal, now: Now
) -> StatementRead:
    """Makes of a dry run that is done the real thing, without the file being sent again. 409 `file_gone` a month
    after it was."""
    statement = await held(session, Statement, id, if_match)
    assert_postable(statement.state, dry_run=statement.dry_run)
    if not await store.parts_of(session, id, 0):
        raise Conflict("the file is kept for a month: send it again", code="file_gone")
    await store.drop_rows(session, id)
    statement.dry_run, statement.posted_by, statement.finished_at = False, who.subject, None
    await _begin(session, statement, StatementState.RUNNING)
    for name in store.COUNTED:
        setattr(statement, name, 0)
    await session.flush()
    return StatementRead.of(statement)


@router.post("/v1/statements/{id}/undo", dependencies=[scope(APPROVE)])
async def undo_statement(
    id: UUID, create: StatementUndo, if_match: IfMatch, session: Session, who: CurrentPrincipal, now: Now
) -> StatementRead:
    """Takes back all that it posted, by entries of today, and rejects its invoices that wait. Its rows can come in
    again then. It is `done` again where a line couldn't give something back: those rows say why."""
    statement = await held(session, Statement, id, if_match)
    assert_undoable(statement.state, statement.problem, dry_run=statement.dry_run)
    statement.undone_by, statement.reason, statement.finished_at = who.subject, create.reason, None
    statement.problem = statement.message = None
    await _begin(session, statement, StatementState.UNDOING)
    return StatementRead.of(statement)


@router.post("/v1/statements/{id}/resume", dependencies=[scope("budget:write")])
async def resume_statement(id: UUID, if_match: IfMatch, session: Session, who: CurrentPrincipal) -> StatementRead:
    """Lets an import go on that is `failed` with the problem `given_up`, from the row at which it stopped. What isn't a
    dry run takes the scope budget:approve. 409 `not_given_up` for any other."""
    statement = await held(session, Statement, id, if_match)
    _assert_may_post(who, dry_run=statement.dry_run)
    resume(statement)
    await session.flush()
    await defer(session, GO_ON, id)
    return StatementRead.of(statement)


def _assert_may_post(who: Principal, *, dry_run: bool) -> None:
    if not dry_run and APPROVE not in who.scopes:
        raise Forbidden(f"posting takes the scope {APPROVE}; a dry run doesn't", code="scope_missing")


async def _begin(session: AsyncSession, statement: Statement, state: StatementState) -> None:
    statement.state, statement.position = state, 0
    await session.flush()
    await defer(session, GO_ON, statement.id)


@router.get("/v1/statement-rows", dependencies=[scope("budget:read")])
async def list_statement_rows(
    reading: Reading,
    asked: Listing[StatementRowRead] = listing(
        StatementRow, StatementRowRead, by=("outcome",), scanned=("code",),
        parents={
            "statement_id": Parent(StatementRow.statement_id), "line_id": Parent(StatementRow.line_id),
            "invoice_id": Parent(StatementRow.invoice_id),
        },
    ),
) -> Page[StatementRowRead] | Groups[StatementRowRead]:  # fmt: skip
    """What became of rows."""
    return await listed(reading, asked, **DERIVED)


_HEADINGS = (
    "row", "outcome", "field", "code", "message", "date", "amount", "currency", "vendor", "reference", "description",
    "po_number", "line", "line_id", "invoice_id", "duplicate_of",
)  # fmt: skip


@router.get(
    "/v1/statements/{id}/export",
    dependencies=[scope("budget:read")],
    openapi_extra={"x-graph": False},
    response_class=StreamingResponse,
    responses={200: {"description": "The rows.", "content": {"text/csv": {"schema": {"type": "string"}}}}},
)
async def export_statement(id: UUID, request: Request, reading: Reading, who: CurrentPrincipal) -> StreamingResponse:
    """What became of each row, as CSV. A cell that a spreadsheet would take for a formula begins with an apostrophe."""
    await read_row(reading, Statement, id, StatementRead, frozenset({"id"}))
    headers = {"Content-Disposition": f'attachment; filename="import-{id}.csv"'}
    return StreamingResponse(_lines(request.app.state.database, who, id), media_type="text/csv", headers=headers)


async def _lines(database: Database, who: Principal, statement_id: UUID) -> AsyncIterator[str]:
    """Batch by batch, each in a transaction of its own: a slow reader holds none open."""
    yield csv_lines([_HEADINGS])
    last = 0
    while True:
        async with database.caller(who) as session:
            rows = await store.rows_after(session, statement_id, last, EXPORT_BATCH)
        yield csv_lines(_cells(row) for row in rows)
        if len(rows) < EXPORT_BATCH:
            return
        last = rows[-1].number


def _cells(row: Any) -> list[Any]:
    amount = None if row.minor is None else Money.of_minor(row.minor, row.currency).amount
    return [
        row.number, row.outcome, row.field, row.code, row.message, row.dated, amount, row.currency, row.vendor,
        row.reference, row.description, row.po_number, row.line, row.line_id, row.invoice_id, row.duplicate_of,
    ]  # fmt: skip
