"""Decides what callers see of what platforms sent, and that they can judge it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, FastAPI, Query
from sqlalchemy import DateTime, bindparam, func, literal_column
from sqlmodel import col

from chassis.answers import by_id, listed, read_of
from chassis.db import Database, Now, Reading, Session
from chassis.fields import UtcDatetime
from chassis.idempotency import IdempotentRoute
from chassis.identity import CurrentPrincipal, scope
from chassis.listing import Filter, Listing, Parent, listing
from chassis.paging import Groups, Page
from chassis.reading import Source
from services.metrics.event import store
from services.metrics.event.actions import revise_verdict
from services.metrics.event.flush import Flusher
from services.metrics.event.models import Event, EventRead, Judgement
from services.metrics.judging.actions import look_at
from services.metrics.rollup.actions import Counter, count_noted

router = APIRouter(tags=["events"])
judging = APIRouter(route_class=IdempotentRoute, tags=["events"])

PEOPLE = "metrics:people"


@asynccontextmanager
async def flushing(app: FastAPI) -> AsyncIterator[None]:
    """Opens the queue that posts are committed through, and waits for what is in it at the end. What it stored is
    counted soon after; where nothing runs by itself, as in tests, whoever reads numbers does it."""
    state = app.state
    database: Database = state.database
    by_itself = getattr(state, "folding", getattr(state, "background", True))

    async def count(workspace_id: UUID) -> None:
        await count_noted(database, workspace_id)
        await look_at(database, workspace_id)

    counter = Counter(count) if by_itself else None
    state.flusher = flusher = Flusher(
        store.commit_to(database, state.settings.secret_key, state.intake), stored=counter.note if counter else None
    )
    try:
        yield
    finally:
        await flusher.close()
        if counter:
            await counter.close()


def _since(name: str) -> Any:
    """The first id of the instant that is bound by this name: so that an index serves, and months are left out. Of what
    lies before or after all ids, the first or the last that there can be."""
    bound = bindparam(name, type_=DateTime(timezone=True))
    return func.first_id(func.least(func.greatest(bound, _instant("1970-01-01")), _instant("9999-01-01")))


def _instant(day: str) -> Any:
    return literal_column(f"'{day} 00:00+00'::timestamptz")


OCCURRED = tuple(
    Filter(name, Annotated[UtcDatetime | None, Query(description=words)], None, Event.occurred_at, holds)
    for name, words, holds in (
        ("occurred_from", "From this instant on.", col(Event.id) >= _since("occurred_from")),
        ("occurred_to", "Before this instant.", col(Event.id) < _since("occurred_to")),
    )
)


async def _nobody(_: Source, __: Sequence[UUID]) -> dict[UUID, str]:
    return {}


@router.get("/v1/events", dependencies=[scope("metrics:read")])
async def list_events(
    reading: Reading,
    who: CurrentPrincipal,
    asked: Listing[EventRead] = listing(
        Event,
        EventRead,
        as_id=("occurred_at",),
        also=OCCURRED,
        scanned=("type", "verdict"),
        parents={"campaign_id": Parent(Event.campaign_id), "source_id": Parent(Event.source_id)},
    ),
) -> Page[EventRead] | Groups[EventRead]:
    """Events, in the order in which they happened: an id begins with the time. With `limit_per`: so many for each
    campaign or source, whichever of `campaign_id` and `source_id` is named first; the other narrows them."""
    # Addresses are for those with the scope for people's data.
    return await listed(reading, asked, recipient=by_id(store.addresses_of if PEOPLE in who.scopes else _nobody))


@judging.post("/v1/events/{id}/judge", dependencies=[scope("metrics:write")])
async def judge_event(id: UUID, judgement: Judgement, session: Session, who: CurrentPrincipal, now: Now) -> EventRead:
    """Says who acted, whatever was thought before. All numbers that the event is in follow in the same transaction;
    raw ones stay, as they are human + bot + unknown."""
    event = await revise_verdict(session, id, judgement.verdict, now)
    addresses = store.addresses_of if PEOPLE in who.scopes else _nobody
    return await read_of(session, EventRead, event, recipient=by_id(addresses))
