"""Decides how what can't be read is kept and found."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import workspace_of
from chassis.fields import new_id
from services.metrics.event.rules import Unreadable

EXCERPT = 2000


async def quarantine(session: AsyncSession, found: Sequence[tuple[UUID, datetime, Unreadable]]) -> None:
    """Keeps (source, received at, what couldn't be read)."""
    rows = sorted(
        ((source_id, hashlib.sha256(each.payload).digest(), at, each) for source_id, at, each in found),
        key=lambda row: row[:2],
    )
    if not rows:
        return
    await session.execute(
        text("""
            INSERT INTO quarantine (workspace_id, id, source_id, digest, reason, payload, excerpt, received_at)
            SELECT :workspace, each.* FROM unnest(
                cast(:ids AS uuid[]), cast(:sources AS uuid[]), cast(:digests AS bytea[]), cast(:reasons AS text[]),
                cast(:payloads AS bytea[]), cast(:excerpts AS text[]), cast(:times AS timestamptz[])
            ) AS each
            ON CONFLICT DO NOTHING
        """),
        {
            "workspace": workspace_of(session),
            "ids": [new_id() for _ in rows],
            "sources": [source_id for source_id, _, _, _ in rows],
            "digests": [digest for _, digest, _, _ in rows],
            "reasons": [each.reason for *_, each in rows],
            "payloads": [each.payload for *_, each in rows],
            "excerpts": [_excerpt(each.payload) for *_, each in rows],
            "times": [at for _, _, at, _ in rows],
        },
    )


def _excerpt(payload: bytes) -> str:
    return payload[: EXCERPT * 4].decode("utf-8", "replace").replace("\0", "�")[:EXCERPT]
