"""Decides how a client comes to be: by a workspace's admins, or by the operator for a workspace that has none."""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import workspace_of
from gateway.identity.client import store
from gateway.identity.client.models import ApiClient, ApiClientCreate, ApiClientRead, ApiClientSecret
from gateway.identity.client.rules import hash_secret, new_client_secret, refuse_pointless


async def create_client(session: AsyncSession, create: ApiClientCreate, by: str, now: datetime) -> ApiClientSecret:
    """A new client of the transaction's workspace, with the secret that is shown this once."""
    refuse_pointless(create.roles, create.scopes, create.expires_at, now)
    secret = new_client_secret()
    client = ApiClient(
        workspace_id=workspace_of(session), name=create.name, roles=list(create.roles),
        scopes=create.scopes, secret_hash=hash_secret(secret), created_at=now, created_by=by,
        expires_at=create.expires_at, old_secret_hash=None, old_secret_ends_at=None, revoked_at=None, revoked_by=None,
        last_used_at=None,
    )  # fmt: skip
    await store.add_client(session, client)
    return with_secret(client, secret)


def with_secret(client: ApiClient, secret: str) -> ApiClientSecret:
    return ApiClientSecret(**ApiClientRead.model_validate(client).model_dump(), client_secret=secret)
