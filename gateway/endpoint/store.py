"""Decides how an endpoint's secrets are kept, and how it is found and changed while others are told of it."""

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import workspace_of
from chassis.secrets import Sealer
from gateway.endpoint.models import Endpoint

PURPOSE = "endpoint-secrets"
MOST_ENDPOINTS = 200


def _place(workspace_id: UUID, endpoint_id: UUID) -> str:
    return f"{workspace_id}/{endpoint_id}"


def seal(sealer: Sealer, workspace_id: UUID, endpoint_id: UUID, secret: bytes) -> bytes:
    return sealer.seal(secret, _place(workspace_id, endpoint_id))


def unseal(sealer: Sealer, workspace_id: UUID, endpoint_id: UUID, sealed: bytes) -> bytes:
    return sealer.open(sealed, _place(workspace_id, endpoint_id))


async def count_endpoints(session: AsyncSession) -> int:
    """How many there are, with others kept from making more until this transaction ends."""
    await session.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"), {"key": f"endpoints:{workspace_of(session)}"}
    )
    return int(await session.scalar(text("SELECT count(*) FROM endpoint")) or 0)


async def drop_endpoint(session: AsyncSession, endpoint: Endpoint) -> None:
    """Takes it away; the table's key takes its deliveries along."""
    await session.delete(endpoint)
    await session.flush()
