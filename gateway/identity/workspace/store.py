"""Decides how workspaces are read and written: one's own, or all of them for the operator."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from chassis.db import workspace_of
from chassis.errors import NotFound
from gateway.identity.workspace.models import Workspace
from gateway.identity.workspace.rules import WorkspaceState


async def get_workspace(session: AsyncSession, *, lock: bool = False) -> Workspace:
    """The transaction's own workspace."""
    workspace_id: UUID = workspace_of(session)
    row = await session.get(Workspace, workspace_id, with_for_update=lock)
    if row is None:
        raise NotFound(f"no workspace {workspace_id}")
    return row


async def is_open(session: AsyncSession) -> bool:
    """Whether anybody gets tokens for the transaction's workspace."""
    found = select(col(Workspace.state)).where(col(Workspace.workspace_id) == workspace_of(session))
    return await session.scalar(found) == WorkspaceState.ACTIVE


async def add_workspace(session: AsyncSession, workspace: Workspace) -> None:
    session.add(workspace)
    await session.flush()


async def workspaces(session: AsyncSession, after: UUID | None, *, down: bool, most: int) -> Sequence[Workspace]:
    """All workspaces by id, from after this one on (worker transaction)."""
    key = col(Workspace.workspace_id)
    found = select(Workspace).order_by(key.desc() if down else key).limit(most)
    if after is not None:
        found = found.where(key < after if down else key > after)
    return (await session.scalars(found)).all()
