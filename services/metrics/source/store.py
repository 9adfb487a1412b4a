"""Decides how sources are kept, and found by the token in their URL before a workspace is known."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import Database
from chassis.errors import NotFound
from chassis.secrets import Sealer
from services.metrics.source.models import Source
from services.metrics.source.rules import PlatformName, hash_token

PURPOSE = "source-credentials"
# How long a process goes on with what it read of a source; a secret that is taken away works so much longer.
REMEMBER_SECONDS = 5.0
REMEMBERED = 10_000


def _place(workspace_id: UUID, source_id: UUID) -> str:
    return f"{workspace_id}/{source_id}"


def seal_credentials(sealer: Sealer, workspace_id: UUID, source_id: UUID, credentials: Mapping[str, str]) -> bytes:
    return sealer.seal(json.dumps(credentials).encode(), _place(workspace_id, source_id))


async def add_source(session: AsyncSession, source: Source) -> None:
    session.add(source)
    await session.flush()


async def heard_from(connection: Any, workspace_id: UUID, posts: Sequence[tuple[UUID, datetime]]) -> None:
    """Moves the watermark of each source on to when its latest post arrived; never back. On the driver."""
    latest = dict(sorted(posts))
    await connection.execute(
        """
        WITH heard AS (
            SELECT * FROM unnest($2::uuid[], $3::timestamptz[]) AS each(id, at)
        ), held AS (  -- in one order for all writers, or they deadlock
            SELECT id FROM source WHERE workspace_id = $1 AND id = ANY($2::uuid[]) ORDER BY id FOR NO KEY UPDATE
        )
        UPDATE source SET received_at = greatest(source.received_at, heard.at)
        FROM heard JOIN held ON held.id = heard.id
        WHERE source.workspace_id = $1 AND source.id = heard.id
        """,
        workspace_id,
        list(latest),
        list(latest.values()),
    )


@dataclass(frozen=True)
class KnownSource:
    """What a post needs to be checked and read."""

    workspace_id: UUID
    id: UUID
    platform: PlatformName
    credentials: Mapping[str, str] = field(repr=False)


class SourceBook:
    """Finds sources by token, and remembers them for a moment: a platform posts many times a second."""

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database = database
        self._sealer = sealer
        self._known: dict[bytes, tuple[float, KnownSource]] = {}

    async def find(self, token: str) -> KnownSource:
        """The source whose URL holds the token; NotFound when there is none."""
        token_hash = hash_token(token)
        until, known = self._known.get(token_hash, (0.0, None))
        if known is None or until < time.monotonic():
            known = await self._read(token_hash)
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[token_hash] = (time.monotonic() + REMEMBER_SECONDS, known)
        return known

    async def _read(self, token_hash: bytes) -> KnownSource:
        async with self._database.worker() as session:
            row = (
                await session.execute(
                    text("SELECT workspace_id, id, platform, credentials FROM source WHERE token_hash = :hash"),
                    {"hash": token_hash},
                )
            ).one_or_none()
        if row is None:
            raise NotFound("there is no webhook at this address")
        credentials = json.loads(self._sealer.open(row.credentials, _place(row.workspace_id, row.id)))
        return KnownSource(row.workspace_id, row.id, PlatformName(row.platform), credentials)
