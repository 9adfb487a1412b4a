"""Decides how API clients are read and written, before and after a workspace is known."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Boolean, Row, bindparam, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from chassis.db import get_row
from gateway.identity.client.models import ApiClient

IS_REVOKED = col(ApiClient.revoked_at).is_not(None) == bindparam("revoked", type_=Boolean)


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
