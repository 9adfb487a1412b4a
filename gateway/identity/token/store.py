"""Decides who is found behind the credentials of a request for a token."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.tokens import SERVICE_PREFIX
from gateway.identity.client.rules import USE_GRAIN, allowed_scopes, live_secrets
from gateway.identity.client.store import find_client
from gateway.identity.token.models import service_account
from gateway.identity.token.rules import OPERATOR


@dataclass(frozen=True)
class Caller:
    """Whoever asks for a token: a client of one workspace, or an account of the installation."""

    subject: str
    workspace_id: UUID | None
    secrets: Sequence[bytes]
    roles: Sequence[str]
    scopes: frozenset[str]
    client: UUID | None = None
    # Whether its last use was noted too long ago.
    unnoted: bool = False


async def find_caller(session: AsyncSession, client_id: str, now: datetime) -> Caller | None:
    """Who has this id and may get tokens now (worker transaction). One query, whoever it is."""
    if client_id == OPERATOR or client_id.startswith(SERVICE_PREFIX):
        name = client_id.removeprefix(SERVICE_PREFIX).replace("\0", "")
        found = select(service_account).where(service_account.c.name == name)
        row = (await session.execute(found)).one_or_none()
        # The operator goes by its plain name alone: as `service:operator` it would pass for a service.
        if row is None or (row.name == OPERATOR) != (client_id == OPERATOR):
            return None
        return Caller(client_id, None, [row.secret_hash], (), frozenset(row.scopes))
    try:
        known_by = UUID(client_id)
    except ValueError:
        return None
    client = await find_client(session, known_by, now)
    if client is None:
        return None
    return Caller(
        subject=f"client:{known_by}",
        workspace_id=client.workspace_id,
        secrets=live_secrets(client.secret_hash, client.old_secret_hash, client.old_secret_ends_at, now),
        roles=client.roles,
        scopes=allowed_scopes(client.roles, client.scopes),
        client=known_by,
        unnoted=client.last_used_at is None or now - client.last_used_at >= USE_GRAIN,
    )
