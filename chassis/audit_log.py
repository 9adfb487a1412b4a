"""Decides who reads what was done, and how: page by page, or all of it as CSV."""

import json
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field
from sqlalchemy import ColumnElement, Select, select

from chassis.answers import page_of
from chassis.audit import AUDIT, Action
from chassis.db import Database, Session
from chassis.fields import Readable, UtcDatetime, rfc3339
from chassis.identity import CurrentPrincipal, Principal, scope
from chassis.listing import Cursor, Fields, Limit, fields_of
from chassis.paging import MOST, Ids, Page, decode_cursor, encode_cursor
from chassis.spreadsheet import csv_lines

EXPORT_BATCH = 1000
HEADINGS = ("at", "actor", "operation", "request_id", "action", "kind", "row_id", "field", "old", "new")

Texts = Annotated[list[str], Query(max_length=MOST)]
From = Annotated[UtcDatetime | None, Query(description="Not before.")]
To = Annotated[UtcDatetime | None, Query(description="Before.")]


class AuditChange(BaseModel):
    """One field, from what to what; as JSON values."""

    field: str = Field(examples=["name"])
    old: Any = Field(None, examples=["Spring"])
    new: Any = Field(None, examples=["Spring launch"])


class AuditEntryRead(Readable):
    """That somebody created, changed or deleted something."""

    id: UUID
    at: UtcDatetime
    actor: str = Field(description="Whose token it was; `system:goals` when a service did it by itself.")
    operation: str = Field(description="What was called, or what ran.", examples=["update_campaign"])
    request_id: str = Field(description="As in `X-Request-Id` and the logs; empty when nobody called.")
    action: Action
    kind: str = Field(description="What it was done to.", examples=["campaign"])
    row_id: UUID | None = Field(description="Its id; null for what only links two others.")
    changes: list[AuditChange]


async def _wanted(
    actor: Texts = [], operation: Texts = [], kind: Texts = [], row_id: Ids = [],
    action: Annotated[list[Action], Query()] = [], at_from: From = None, at_to: To = None,
) -> Select[Any]:  # fmt: skip
    named: dict[str, Sequence[object]] = {
        "actor": actor, "operation": operation, "kind": kind, "row_id": row_id, "action": action,
    }  # fmt: skip
    fits: list[ColumnElement[bool]] = [AUDIT.c[name].in_(values) for name, values in named.items() if values]
    if at_from:
        fits.append(AUDIT.c.at >= at_from)
    if at_to:
        fits.append(AUDIT.c.at < at_to)
    return select(*AUDIT.c).where(*fits)


Wanted = Annotated[Select[Any], Depends(_wanted)]


def audit_router(part: str) -> APIRouter:
    """The log of one part, for its administrators."""
    router = APIRouter(tags=["audit"], dependencies=[scope("audit:read")])

    async def list_audit(
        wanted: Wanted,
        session: Session,
        limit: Limit = 50,
        cursor: Cursor = None,
        sort: Annotated[Literal["id", "-id"], Query(description="`-` in front: downwards. Ids rise with age.")] = "id",
        fields: Fields = fields_of(AuditEntryRead),
    ) -> Page[AuditEntryRead]:
        """Who did what, when, from what to what; the oldest first unless sorted otherwise. Nothing is ever changed or
        taken away here."""
        down = sort.startswith("-")
        found = wanted.order_by(AUDIT.c.id.desc() if down else AUDIT.c.id)
        if cursor is not None:
            (last,) = decode_cursor(cursor, sort, [UUID])
            found = found.where(AUDIT.c.id < last if down else AUDIT.c.id > last)
        rows = (await session.execute(found.limit(limit + 1))).all()
        items = [_entry(row, fields) for row in rows[:limit]]
        more = encode_cursor(sort, items[-1].id) if len(rows) > limit else None
        return page_of(AuditEntryRead, items, more)

    async def export_audit(wanted: Wanted, request: Request, who: CurrentPrincipal) -> StreamingResponse:
        """All entries that fit, the oldest first, as CSV: a line for each field that changed. A cell that a spreadsheet
        would take for a formula begins with an apostrophe."""
        lines = _lines(request.app.state.database, who, wanted.order_by(AUDIT.c.id))
        headers = {"Content-Disposition": f'attachment; filename="{part}-audit.csv"'}
        return StreamingResponse(lines, media_type="text/csv", headers=headers)

    router.add_api_route("/v1/audit", list_audit, name=f"list_{part}_audit")
    router.add_api_route(
        "/v1/audit/export", export_audit, name=f"export_{part}_audit", openapi_extra={"x-graph": False},
        response_class=StreamingResponse,
        responses={200: {"description": "The entries.", "content": {"text/csv": {"schema": {"type": "string"}}}}},
    )  # fmt: skip
    return router


def _entry(row: Any, fields: Fields) -> AuditEntryRead:
    changes = [AuditChange.model_validate(each) for each in row.changes]
    return AuditEntryRead.of(row, only=fields, changes=changes, action=Action(row.action))


async def _lines(database: Database, who: Principal, found: Select[Any]) -> AsyncIterator[str]:
    """Batch by batch, each in a transaction of its own: a slow reader holds none open."""
    yield csv_lines([HEADINGS])
    last: UUID | None = None
    while True:
        async with database.caller(who) as session:
            statement = found.where(AUDIT.c.id > last) if last else found
            rows = (await session.execute(statement.limit(EXPORT_BATCH))).all()
        yield csv_lines([line for row in rows for line in _fields(row)])
        if len(rows) < EXPORT_BATCH:
            return
        last = rows[-1].id


def _fields(row: Any) -> Iterator[Sequence[str]]:
    about = (rfc3339(row.at), row.actor, row.operation, row.request_id, row.action, row.kind, str(row.row_id or ""))
    for change in row.changes or [{"field": "", "old": None, "new": None}]:
        yield *about, change["field"], _cell(change["old"]), _cell(change["new"])


def _cell(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
