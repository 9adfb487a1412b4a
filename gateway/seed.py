"""Decides what an installation begins with: its service accounts, and two workspaces with a client per role."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import as_owner, of_tenant
from chassis.outbox import record
from gateway.events import WorkspaceCreated
from gateway.identity.client.rules import hash_secret


async def ensure(
    admin_dsn: str, stack: str, clients: Mapping[str, Mapping[str, Any]], services: Mapping[str, Mapping[str, Any]]
) -> None:
    """Makes the database hold what clients.json and services.json say; run again, it changes nothing."""
    async with as_owner(admin_dsn, stack, "gateway") as session:
        for name, account in services.items():
            await session.execute(
                text("""INSERT INTO service_account (name, secret_hash, scopes) VALUES (:name, :hash, :scopes)
                        ON CONFLICT (name) DO UPDATE
                        SET secret_hash = excluded.secret_hash, scopes = excluded.scopes"""),
                {"name": name, "hash": hash_secret(account["client_secret"]), "scopes": account["scopes"]},
            )
        for name, client in clients.items():
            await _ensure_workspace(session, UUID(client["workspace_id"]), name.split("-")[0].capitalize())
            await session.execute(
                text("""INSERT INTO api_client (workspace_id, id, name, roles, secret_hash, created_at)
                        VALUES (:workspace, :id, :name, :roles, :hash, now())
                        ON CONFLICT (workspace_id, id) DO UPDATE SET secret_hash = excluded.secret_hash"""),
                {
                    "workspace": UUID(client["workspace_id"]), "id": UUID(client["client_id"]), "name": name,
                    "roles": client["roles"], "hash": hash_secret(client["client_secret"]),
                },
            )  # fmt: skip


async def _ensure_workspace(session: AsyncSession, workspace_id: UUID, name: str) -> None:
    created = await session.scalar(
        text("""INSERT INTO workspace (workspace_id, name, zone, currency)
                VALUES (:id, :name, 'Europe/Berlin', 'EUR') ON CONFLICT DO NOTHING RETURNING 1"""),
        {"id": workspace_id, "name": name},
    )
    if created:
        await session.execute(text(of_tenant(workspace_id)))
        session.info["workspace_id"] = workspace_id
        event = WorkspaceCreated(name=name, zone="Europe/Berlin", currency="EUR")
        await record(session, event, workspace_id, datetime.now(UTC))
