"""Decides what callers see of what platforms sent."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

from fastapi import APIRouter, FastAPI

from chassis.answers import by_id, listed
from chassis.db import Reading
from chassis.identity import CurrentPrincipal, scope
from chassis.listing import Listing, Parent, listing
from chassis.paging import Groups, Page
from services.metrics.event import store
from services.metrics.event.flush import Flusher
from services.metrics.event.models import Event, EventRead

router = APIRouter(tags=["events"])

PEOPLE = "metrics:people"


@asynccontextmanager
async def flushing(app: FastAPI) -> AsyncIterator[None]:
    """Opens the queue that posts are committed through, and waits for what is in it at the end."""
    state = app.state
    state.flusher = flusher = Flusher(store.commit_to(state.database, state.settings.secret_key, state.intake))
    try:
        yield
    finally:
        await flusher.close()


async def _nobody(_: Reading, __: Sequence[UUID]) -> dict[UUID, str]:
    return {}


@router.get("/v1/events", dependencies=[scope("metrics:read")])
async def list_events(
    reading: Reading,
    who: CurrentPrincipal,
    asked: Listing[EventRead] = listing(
        Event,
        EventRead,
        sort=("occurred_at",),
        by=("occurred_at",),
        scanned=("type", "verdict"),
        parents={"campaign_id": Parent(Event.campaign_id), "source_id": Parent(Event.source_id)},
    ),
) -> Page[EventRead] | Groups[EventRead]:
    """Events, in the order they arrived unless sorted otherwise. With `limit_per`: so many for each campaign or source,
    whichever of `campaign_id` and `source_id` is named first; the other narrows them."""
    # Addresses are for those with the scope for people's data.
    return await listed(reading, asked, recipient=by_id(store.addresses_of if PEOPLE in who.scopes else _nobody))
