"""Decides what becomes of an event for the endpoints that are told of it: owed as it is kept, settled as it is
answered."""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import get_row
from chassis.inbox import Incoming
from chassis.outbox import record
from gateway.delivery import store
from gateway.delivery.rules import GONE, DeliveryState, next_wait
from gateway.endpoint.models import Endpoint
from gateway.endpoint.rules import EndpointState, PauseReason, is_lost
from gateway.events import EndpointPaused
from gateway.happening import store as happenings

log = logging.getLogger("mops.webhooks")


async def hear(session: AsyncSession, events: Sequence[Incoming], now: datetime) -> None:
    """Keeps what parts tell, and has endpoints told of it: both, or neither."""
    await happenings.keep(session, events, now)
    await store.owe(session, events, now)


async def settle(
    session: AsyncSession, row: Any, status: int | None, error: str | None, now: datetime, chance: float,
    asked: timedelta | None = None,
) -> None:  # fmt: skip
    """Notes an attempt's outcome, and pauses an endpoint that wants no more or has failed for too long."""
    # The endpoint before its deliveries, as whoever changes one does.
    if error is None:
        await store.note_success(session, row.endpoint_id)
        done = {"state": DeliveryState.DELIVERED.value, "delivered_at": now}
        await store.settle(session, row, now, last_status=status, **done)
        return
    found = await store.note_failure(session, row.endpoint_id, now)
    if found is None:
        return  # taken away meanwhile
    wait = None if status == GONE else next_wait(row.attempts + 1, chance, asked)
    state, due = (DeliveryState.WAITING, now + wait) if wait else (DeliveryState.GIVEN_UP, None)
    await store.settle(session, row, now, state=state.value, due_at=due, last_status=status, last_error=error)
    if found.state == EndpointState.ACTIVE and (status == GONE or is_lost(found.failing_since, now)):
        await _pause(session, row.endpoint_id, PauseReason.GONE if status == GONE else PauseReason.FAILING, now)


async def _pause(session: AsyncSession, endpoint_id: UUID, reason: PauseReason, now: datetime) -> None:
    """Leaves an endpoint alone, and tells of it."""
    # Noting the failure has locked it, but for those who keep an event for it: they and several that are paused
    # together would each wait for the other.
    endpoint = await get_row(session, Endpoint, endpoint_id)
    endpoint.state, endpoint.pause_reason = EndpointState.PAUSED, reason
    await session.flush()
    await record(session, EndpointPaused(endpoint_id=endpoint_id, reason=reason), endpoint_id, now)
    log.warning("endpoint_paused", extra={"endpoint_id": str(endpoint_id), "why": reason.value})
