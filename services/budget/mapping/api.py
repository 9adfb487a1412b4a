"""Decides what callers can do with saved ways to read files."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.answers import listed, of_row, read_row
from chassis.db import Now, Reading, Session, add_row, workspace_of
from chassis.editing import IfMatch, edited, held
from chassis.errors import Invalid
from chassis.idempotency import IdempotentRoute
from chassis.identity import CurrentPrincipal, scope
from chassis.listing import Fields, Listing, Parent, fields_of, listing
from chassis.paging import Groups, Page
from services.budget.mapping import store
from services.budget.mapping.models import (
    MappedColumns,
    MappedLine,
    StatementMapping,
    StatementMappingCreate,
    StatementMappingPatch,
    StatementMappingRead,
)

router = APIRouter(route_class=IdempotentRoute, tags=["statements"])


def _columns(mapping: Any) -> MappedColumns:
    return MappedColumns.model_validate(mapping.columns)


def _lines(mapping: Any) -> list[MappedLine]:
    return [MappedLine.model_validate(each) for each in mapping.lines]


DERIVED: Any = {"columns": of_row(_columns), "lines": of_row(_lines)}


def _read(mapping: StatementMapping) -> StatementMappingRead:
    return StatementMappingRead.of(mapping, columns=_columns(mapping), lines=_lines(mapping))


async def _check(session: AsyncSession, create: StatementMappingCreate) -> None:
    named = {**{f"lines.{place}.line_id": each.line_id for place, each in enumerate(create.lines)}}
    if create.line_id:
        named["line_id"] = create.line_id
    unknown = await store.unknown_line(session, list(named.values())) if named else None
    if unknown is not None:
        field = next(field for field, line_id in named.items() if line_id == unknown)
        raise Invalid.field(field, f"no line {unknown}", "unknown")


@router.post("/v1/statement-mappings", status_code=201, dependencies=[scope("budget:write")])
async def create_statement_mapping(
    create: StatementMappingCreate, session: Session, who: CurrentPrincipal, now: Now
) -> StatementMappingRead:
    """Saves how files are read. A name is taken once: 409 `already_exists`."""
    await _check(session, create)
    row = {**create.row(), "workspace_id": workspace_of(session), "created_by": who.subject, "created_at": now}
    mapping = StatementMapping.model_validate(row)
    await add_row(session, mapping)
    return _read(mapping)


@router.get("/v1/statement-mappings/{id}", dependencies=[scope("budget:read")])
async def get_statement_mapping(
    id: UUID, reading: Reading, fields: Fields = fields_of(StatementMappingRead)
) -> StatementMappingRead:
    """One saved way to read files."""
    return await read_row(reading, StatementMapping, id, StatementMappingRead, fields, **DERIVED)


@router.get("/v1/statement-mappings", dependencies=[scope("budget:read")])
async def list_statement_mappings(
    reading: Reading,
    asked: Listing[StatementMappingRead] = listing(
        StatementMapping, StatementMappingRead, sort=("name", "created_at"), by=("name", "kind", "created_at"),
        parents={"line_id": Parent(StatementMapping.line_id)},
    ),
) -> Page[StatementMappingRead] | Groups[StatementMappingRead]:  # fmt: skip
    """Saved ways to read files, the oldest first unless sorted otherwise."""
    return await listed(reading, asked, **DERIVED)


@router.patch("/v1/statement-mappings/{id}", dependencies=[scope("budget:write")])
async def update_statement_mapping(
    id: UUID, patch: StatementMappingPatch, if_match: IfMatch, session: Session
) -> StatementMappingRead:
    """Changes what is sent and leaves the rest; `lines` are replaced as a whole."""
    mapping = await held(session, StatementMapping, id, if_match)
    found = edited(StatementMappingCreate, _read(mapping), patch)
    await _check(session, found)
    mapping.sqlmodel_update(found.row())
    await session.flush()
    return _read(mapping)
