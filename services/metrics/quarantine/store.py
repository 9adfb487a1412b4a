"""Decides how what can't be read is kept and found."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from chassis.fields import new_id
from services.metrics.event.rules import Unreadable

EXCERPT = 2000


async def quarantine(connection: Any, workspace_id: UUID, found: Sequence[tuple[UUID, datetime, Unreadable]]) -> None:
    """Keeps (source, received at, what couldn't be read), on the driver."""
    rows = sorted(
        ((source_id, hashlib.sha256(each.payload).digest(), at, each) for source_id, at, each in found),
        key=lambda row: row[:2],
    )
    await connection.execute(
        """
        INSERT INTO quarantine (workspace_id, id, source_id, digest, reason, payload, excerpt, received_at)
        SELECT $1, each.* FROM unnest(
            $2::uuid[], $3::uuid[], $4::bytea[], $5::text[], $6::bytea[], $7::text[], $8::timestamptz[]
        ) AS each
        ON CONFLICT DO NOTHING
        """,
        workspace_id,
        [new_id() for _ in rows],
        [source_id for source_id, _, _, _ in rows],
        [digest for _, digest, _, _ in rows],
        [each.reason for *_, each in rows],
        [each.payload for *_, each in rows],
        [_excerpt(each.payload) for *_, each in rows],
        [at for _, _, at, _ in rows],
    )


def _excerpt(payload: bytes) -> str:
    return payload[: EXCERPT * 4].decode("utf-8", "replace").replace("\0", "�")[:EXCERPT]
