"""Decides how clients and service accounts are found, before and after a workspace is known."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import get_row
from gateway.identity.models import ApiClient


@dataclass(frozen=True)
class Caller:
    """Whoever asks for a token: a client of one workspace, or a service account of none."""

    workspace_id: UUID | None
    secret_hash: bytes
    roles: tuple[str, ...]
    scopes: tuple[str, ...]


async def find_client(session: AsyncSession, client_id: UUID) -> Caller | None:
    """A client that isn't revoked, whatever its workspace (worker transaction)."""
    row = (
        await session.execute(
            text("SELECT workspace_id, secret_hash, roles FROM api_client WHERE id = :id AND revoked_at IS NULL"),
            {"id": client_id},
        )
    ).one_or_none()
    return Caller(row.workspace_id, row.secret_hash, tuple(row.roles), ()) if row else None


async def find_service(session: AsyncSession, name: str) -> Caller | None:
    """A service account (worker transaction)."""
    row = (
        await session.execute(
            text("SELECT secret_hash, scopes FROM service_account WHERE name = :name"), {"name": name}
        )
    ).one_or_none()
    return Caller(None, row.secret_hash, (), tuple(row.scopes)) if row else None


async def add_client(session: AsyncSession, client: ApiClient) -> None:
    session.add(client)
    await session.flush()


async def get_client(session: AsyncSession, client_id: UUID) -> ApiClient:
    return await get_row(session, ApiClient, client_id)
