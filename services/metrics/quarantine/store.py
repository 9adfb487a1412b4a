"""Decides how what can't be read is kept and found."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from chassis.db import workspace_of
from chassis.fields import new_id
from services.metrics.event.flush import Post
from services.metrics.event.rules import Unreadable
from services.metrics.quarantine.models import Quarantined
from services.metrics.quarantine.rules import QuarantineState

EXCERPT = 2000
# So much, and one part more, is read again at once: whole posts are among what is kept.
MOST_BYTES = 16_000_000


async def quarantine(connection: Any, workspace_id: UUID, found: Sequence[tuple[Post, Unreadable]]) -> None:
    """Keeps what couldn't be read of posts, on the driver."""
    rows = sorted(
        ((post.source_id, hashlib.sha256(each.payload).digest(), post, each) for post, each in found),
        key=lambda row: row[:2],
    )
    await connection.execute(
        """
        INSERT INTO quarantine (workspace_id, id, source_id, digest, reason, payload, excerpt, received_at, headers)
        SELECT $1, each.* FROM unnest(
            $2::uuid[], $3::uuid[], $4::bytea[], $5::text[], $6::bytea[], $7::text[], $8::timestamptz[],
            $9::jsonb[]
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
        [post.received_at for _, _, post, _ in rows],
        [json.dumps(dict(post.headers)) for _, _, post, _ in rows],
    )


def _excerpt(payload: bytes) -> str:
    return payload[: EXCERPT * 4].decode("utf-8", "replace").replace("\0", "�")[:EXCERPT]


_NEXT = """
    SELECT id, before FROM (
        SELECT id, sum(octet_length(payload)) OVER (ORDER BY id) - octet_length(payload) AS before FROM (
            SELECT id, payload FROM quarantine WHERE workspace_id = :workspace AND state = 'waiting'
                AND {ASKED}
            ORDER BY id LIMIT :most
        ) AS oldest
    ) AS sized ORDER BY id
"""


async def waiting(
    session: AsyncSession, ids: Sequence[UUID], source_id: UUID | None, most: int
) -> tuple[list[Quarantined], bool]:
    """What waits to be read again: of these ids, or of a source the oldest first, so much at most; held until the
    transaction ends. And whether more does."""
    asked = ("id = ANY(:asked)", list(ids)) if ids else ("source_id = :asked", source_id)
    bound = {"workspace": workspace_of(session), "asked": asked[1], "most": most + 1}
    oldest = (await session.execute(text(_NEXT.replace("{ASKED}", asked[0])), bound)).all()
    taken = [row.id for row in oldest[:most] if row.before < MOST_BYTES]
    held = select(Quarantined).where(col(Quarantined.id).in_(taken), col(Quarantined.state) == QuarantineState.WAITING)
    rows = await session.scalars(held.order_by(col(Quarantined.id)).with_for_update())
    return list(rows.all()), len(taken) < len(oldest)
