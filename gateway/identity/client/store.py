"""Decides how API clients are read and written, before and after a workspace is known."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col
from sqlmodel.sql.expression import SelectOfScalar

from chassis.db import get_row
from chassis.paging import filtered
from gateway.identity.client.models import ApiClient


async def find_client(session: AsyncSession, client_id: UUID, now: datetime) -> Row[tuple[object, ...]] | None:
    """A client that may get tokens now, whatever its workspace (worker transaction)."""
    found = text("""
        SELECT c.workspace_id, c.roles, c.scopes, c.secret_hash, c.old_secret_hash, c.old_secret_ends_at, c.last_used_at
        FROM api_client c JOIN workspace w ON w.workspace_id = c.workspace_id
        WHERE c.id = :id AND c.revoked_at IS NULL AND (c.expires_at IS NULL OR c.expires_at > :now)
          AND w.state = 'active'
    """)
    return (await session.execute(found, {"id": client_id, "now": now})).one_or_none()


async def note_use(session: AsyncSession, client_id: UUID, now: datetime) -> None:
    """Not an edit of the client: neither its version nor the audit log tells of it."""
    await session.execute(
        text("UPDATE api_client SET last_used_at = :now WHERE id = :id"), {"id": client_id, "now": now}
    )


async def add_client(session: AsyncSession, client: ApiClient) -> None:
    session.add(client)
    await session.flush()


async def get_client(session: AsyncSession, client_id: UUID, *, lock: bool = False) -> ApiClient:
    return await get_row(session, ApiClient, client_id, lock=lock)


def select_clients(ids: Sequence[UUID], revoked: bool | None) -> SelectOfScalar[ApiClient]:
    """Clients that fit every filter given."""
    statement = filtered(ApiClient, id=ids)
    if revoked is not None:
        column = col(ApiClient.revoked_at)
        statement = statement.where(column.is_not(None) if revoked else column.is_(None))
    return statement
