"""Decides how it is seen what endpoints were told, and told again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from fastapi import APIRouter, FastAPI

from chassis.answers import listed, read_row
from chassis.db import Now, Reading, Session, get_row
from chassis.idempotency import IdempotentRoute
from chassis.identity import scope
from chassis.listing import Fields, Listing, Parent, fields_of, listing
from chassis.outside import Outside
from chassis.paging import Groups, Page
from chassis.secrets import Sealer
from gateway.delivery import store
from gateway.delivery.dispatcher import STOP_SECONDS, Dispatcher
from gateway.delivery.models import Delivery, DeliveryRead
from gateway.delivery.rules import assert_idle
from gateway.endpoint.models import Endpoint
from gateway.endpoint.rules import assert_active, refuse_beyond
from gateway.endpoint.store import PURPOSE
from gateway.happening.rules import heard_by
from gateway.identity.standing import STANDING, Administrator

router = APIRouter(route_class=IdempotentRoute, tags=["endpoints"])


@asynccontextmanager
async def telling(app: FastAPI) -> AsyncIterator[None]:
    """Tells endpoints what they are owed for as long as the process lives, and at once after a commit here."""
    state = app.state
    state.sealer = Sealer(state.settings.secret_key, PURPOSE)
    state.outside = Outside(hosts=state.settings.webhook_hosts)
    state.dispatcher = dispatcher = Dispatcher(
        state.database, state.outside, state.sealer, lambda: state.clock(), state.measures
    )
    look_round = state.database.after_commit

    def look_further() -> None:
        look_round()
        dispatcher.wake()

    state.database.after_commit = look_further
    running = asyncio.create_task(dispatcher.run()) if getattr(state, "background", True) else None
    try:
        yield
    finally:
        if running is not None:
            dispatcher.stop()
            await asyncio.wait([running], timeout=STOP_SECONDS)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


@router.get("/v1/deliveries/{id}", dependencies=[scope("identity:read"), STANDING])
async def get_delivery(id: UUID, reading: Reading, fields: Fields = fields_of(DeliveryRead)) -> DeliveryRead:
    """One delivery."""
    return await read_row(reading, Delivery, id, DeliveryRead, fields)


BY = {"endpoint_id": Parent(Delivery.endpoint_id), "happening_id": Parent(Delivery.happening_id)}


@router.get("/v1/deliveries", dependencies=[scope("identity:read"), STANDING])
async def list_deliveries(
    reading: Reading,
    asked: Listing[DeliveryRead] = listing(
        Delivery, DeliveryRead, sort=("created_at",), by=("state", "type", "created_at"), parents=BY
    ),
) -> Page[DeliveryRead] | Groups[DeliveryRead]:
    """What endpoints were told in the last 30 days and what waits, the oldest first unless sorted otherwise; with
    `limit_per` so many for each endpoint, or for each event."""
    return await listed(reading, asked)


@router.post("/v1/deliveries/{id}/replay", dependencies=[scope("identity:write")])
async def replay_delivery(id: UUID, session: Session, caller: Administrator, now: Now) -> DeliveryRead:
    """Tells it now, whatever became of it before, and up to eight times. 409 `endpoint_inactive` where nothing is told;
    409 `under_way` while it is being told."""
    found = await get_row(session, Delivery, id)
    # The endpoint before its deliveries, as whoever tells it does.
    endpoint = await get_row(session, Endpoint, found.endpoint_id, lock=True)
    refuse_beyond(endpoint.parts, heard_by(caller.scopes))
    delivery = await get_row(session, Delivery, id, lock=True)
    assert_active(endpoint.state)
    assert_idle(delivery.leased_until, now)
    await store.again(session, delivery, now)
    return DeliveryRead.of(delivery)
