"""Decides how what couldn't be read is read again: by the reader and the settings of today."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import get_row
from services.metrics.event.flush import Post
from services.metrics.event.store import store_in
from services.metrics.quarantine.models import Quarantined
from services.metrics.quarantine.rules import QuarantineState, Replay, refused, taken
from services.metrics.quarantine.store import waiting
from services.metrics.source.models import Source
from services.metrics.source.platforms import PLATFORMS
from services.metrics.source.platforms.platform import Delivery
from services.metrics.source.store import labels_of

MOST_AT_ONCE = 200


async def replay_waiting(
    session: AsyncSession, secret_key: SecretStr, ids: Sequence[UUID], source_id: UUID | None, now: datetime
) -> tuple[Mapping[UUID, Replay], bool]:
    """What became of each that waited, and whether more does."""
    rows, more = await waiting(session, ids, source_id, MOST_AT_ONCE)
    sources = {each: await get_row(session, Source, each) for each in {row.source_id for row in rows}}
    return {row.id: await _replay(session, secret_key, row, sources[row.source_id], now) for row in rows}, more


async def _replay(
    session: AsyncSession, secret_key: SecretStr, row: Quarantined, source: Source, now: datetime
) -> Replay:
    platform = PLATFORMS[source.platform]
    delivery = Delivery("POST", "", row.headers, platform.again(row.payload), now)
    reading = platform.read(delivery, labels_of(source))
    refusal = refused(reading)
    if refusal:
        row.reason = refusal.reason or row.reason
        return refusal
    stored = await store_in(session, secret_key, [Post(source.id, now, reading, len(row.payload))])
    row.state, row.replayed_at = QuarantineState.REPLAYED, now
    return taken(reading, stored)
