"""Decides how a workspace is read and changed by its own people, and opened and suspended by the operator."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.answers import page_of
from chassis.db import Database, Now, Session
from chassis.editing import IfMatch, edited
from chassis.fields import new_id
from chassis.idempotency import IdempotentRoute
from chassis.identity import CurrentPrincipal, scope
from chassis.listing import Cursor, Fields, Limit, fields_of
from chassis.outbox import record
from chassis.paging import Page, decode_cursor, encode_cursor
from chassis.roles import Role
from gateway.events import WorkspaceChanged, WorkspaceCreated
from gateway.identity.client.actions import create_client
from gateway.identity.client.models import ApiClientCreate, ApiClientSecret
from gateway.identity.standing import Administrator
from gateway.identity.workspace import store
from gateway.identity.workspace.models import (
    WorkspaceCreate,
    WorkspaceOpen,
    WorkspacePatch,
    WorkspaceRead,
    row_of,
)
from gateway.identity.workspace.rules import WorkspaceState

router = APIRouter(route_class=IdempotentRoute, tags=["workspaces"])
# Of no workspace, and so without what a workspace's transaction brings: keys of its own make them safe to send again.
operator_router = APIRouter(tags=["workspaces"])


@router.get("/v1/workspace", dependencies=[scope("workspace:read")])
async def get_workspace(session: Session) -> WorkspaceRead:
    """The workspace that the token is for."""
    return WorkspaceRead.model_validate(await store.get_workspace(session))


@router.patch("/v1/workspace", dependencies=[scope("identity:write")])
async def update_workspace(
    patch: WorkspacePatch, session: Session, caller: Administrator, if_match: IfMatch, now: Now
) -> WorkspaceRead:
    """Changes name, zone or currency; every service hears of it within seconds. Under another zone events fall on other
    days: metrics makes all its numbers again, and reports of the past change with them."""
    workspace = await store.get_workspace(session, lock=True)
    if_match.check(workspace)
    wanted = edited(WorkspaceCreate, WorkspaceRead.model_validate(workspace), patch)
    before = (workspace.name, workspace.zone, workspace.currency)
    workspace.name, workspace.zone, workspace.currency = wanted.name, wanted.zone, wanted.currency
    if (wanted.name, wanted.zone, wanted.currency) != before:
        await session.flush()
        event = WorkspaceChanged(name=wanted.name, zone=wanted.zone, currency=wanted.currency)
        await record(session, event, workspace.workspace_id, now)
    return WorkspaceRead.model_validate(workspace)


@asynccontextmanager
async def _as_operator(request: Request, workspace_id: UUID, caller: CurrentPrincipal) -> AsyncIterator[AsyncSession]:
    """A transaction in some workspace, by somebody who belongs to none; the audit log says who."""
    database: Database = request.app.state.database
    async with database.tenant(workspace_id) as session:
        operation, request_id = request.scope["route"].name, request.state.request_id
        session.info.update(actor=caller.subject, operation=operation, request_id=request_id)
        yield session


@operator_router.post(
    "/v1/workspaces", status_code=201, dependencies=[scope("platform:write")], openapi_extra={"x-graph": False}
)
async def create_workspace(open: WorkspaceOpen, request: Request, caller: CurrentPrincipal, now: Now) -> WorkspaceRead:
    """Opens a workspace; every service hears of it. Nobody can enter it before `create_workspace_admin`. 409 when there
    is one with this id. For the installation's operator."""
    workspace_id = open.id or new_id()
    async with _as_operator(request, workspace_id, caller) as session:
        workspace = row_of(open, workspace_id=workspace_id, created_at=now)
        await store.add_workspace(session, workspace)
        event = WorkspaceCreated(name=open.name, zone=open.zone, currency=open.currency)
        await record(session, event, workspace_id, now)
    return WorkspaceRead.model_validate(workspace)


@operator_router.get("/v1/workspaces", dependencies=[scope("platform:read")], openapi_extra={"x-graph": False})
async def list_workspaces(
    request: Request,
    limit: Limit = 50,
    cursor: Cursor = None,
    sort: Annotated[Literal["id", "-id"], Query(description="`-` in front: downwards. Ids rise with age.")] = "id",
    fields: Fields = fields_of(WorkspaceRead),
) -> Page[WorkspaceRead]:
    """All workspaces. For the installation's operator."""
    database: Database = request.app.state.database
    last = decode_cursor(cursor, sort, [UUID])[0] if cursor is not None else None
    async with database.worker() as session:
        rows = await store.workspaces(session, last, down=sort.startswith("-"), most=limit + 1)
    more = encode_cursor(sort, rows[limit - 1].workspace_id) if len(rows) > limit else None
    return page_of(WorkspaceRead, WorkspaceRead.of_all(rows[:limit], fields, {}), more)


@operator_router.post(
    "/v1/workspaces/{id}/admins", status_code=201, dependencies=[scope("platform:write")],
    openapi_extra={"x-graph": False},
)  # fmt: skip
async def create_workspace_admin(id: UUID, request: Request, caller: CurrentPrincipal, now: Now) -> ApiClientSecret:
    """An API client with the role admin: the first way into a workspace, or the way back. Its secret is in this answer
    and nowhere else. For the installation's operator."""
    async with _as_operator(request, id, caller) as session:
        await store.get_workspace(session)
        create = ApiClientCreate(name="Made by the operator", roles=[Role.ADMIN])
        return await create_client(session, create, caller.subject, now)


@operator_router.post(
    "/v1/workspaces/{id}/suspend", dependencies=[scope("platform:write")], openapi_extra={"x-graph": False}
)
async def suspend_workspace(id: UUID, request: Request, caller: CurrentPrincipal) -> WorkspaceRead:
    """Nobody gets tokens for it until it is resumed; those that are out end within 15 minutes. Its data stays. For the
    installation's operator."""
    return await _move(request, id, caller, WorkspaceState.SUSPENDED)


@operator_router.post(
    "/v1/workspaces/{id}/resume", dependencies=[scope("platform:write")], openapi_extra={"x-graph": False}
)
async def resume_workspace(id: UUID, request: Request, caller: CurrentPrincipal) -> WorkspaceRead:
    """Opens it again. For the installation's operator."""
    return await _move(request, id, caller, WorkspaceState.ACTIVE)


async def _move(request: Request, id: UUID, caller: CurrentPrincipal, to: WorkspaceState) -> WorkspaceRead:
    async with _as_operator(request, id, caller) as session:
        workspace = await store.get_workspace(session, lock=True)
        workspace.state = to
    return WorkspaceRead.model_validate(workspace)
