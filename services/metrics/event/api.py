"""Decides what platforms can send, and what callers see of it."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, FastAPI, Query, Request, Response
from sqlalchemy import DateTime, bindparam, func
from sqlmodel import col

from chassis.answers import by_id, listed, read_of
from chassis.db import Database, Now, Reading, Session
from chassis.errors import Forbidden, Unavailable
from chassis.fields import UtcDatetime
from chassis.idempotency import IdempotentRoute
from chassis.identity import CurrentPrincipal, scope
from chassis.listing import Filter, Listing, Parent, listing
from chassis.paging import Groups, Page
from chassis.problems import answer
from chassis.reading import Source
from chassis.settings import Settings
from services.metrics.event import store
from services.metrics.event.actions import revise_verdict
from services.metrics.event.flush import Flusher, Post
from services.metrics.event.models import Event, EventRead, Judgement, WebhookReceipt
from services.metrics.event.rules import EventType
from services.metrics.event.rules import Reading as Read
from services.metrics.rollup.actions import Counter, count_noted
from services.metrics.source.platforms import PLATFORMS
from services.metrics.source.store import KnownSource, SourceBook

router = APIRouter(tags=["events"])
judging = APIRouter(route_class=IdempotentRoute, tags=["events"])

PEOPLE = "metrics:people"
# Bytes of a body from which on it is read in a thread.
LARGE = 256_000

OPENED = {
    "type": "opened", "recipient": "ann@example.com", "message_id": "m-1", "occurred_at": "2026-03-01T12:00:00Z",
    "tags": ["spring-launch"], "machine": False,
}  # fmt: skip
CLICKED = {**OPENED, "type": "clicked", "url": "https://example.com/offer"}
EVENT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["type", "occurred_at"],
    "properties": {
        "type": {"type": "string", "enum": [each.value for each in EventType]},
        "occurred_at": {"type": "string", "format": "date-time", "description": "With its offset."},
        "recipient": {"type": "string", "description": "The address; without it no unique count sees the event."},
        "message_id": {"type": "string", "description": "Your id of the message sent to this recipient."},
        "url": {"type": "string", "description": "The link of a click."},
        "tags": {
            "type": "array",
            "items": {"type": "string"},
            "description": "The first that is a campaign's slug decides which campaign it counts for.",
        },
        "machine": {"type": "boolean", "description": "True where no person acted: counted, but not as human."},
        "id": {"type": "string", "description": "Yours; never part of an event's identity."},
    },
}
WEBHOOK: dict[str, Any] = {
    "x-graph": False,
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "oneOf": [
                        {"type": "array", "items": EVENT_SCHEMA},
                        {
                            "type": "object",
                            "required": ["events"],
                            "properties": {"events": {"type": "array", "items": EVENT_SCHEMA}},
                        },
                        EVENT_SCHEMA,
                    ]
                },
                "examples": {
                    "one": {"summary": "A standard source's single event", "value": OPENED},
                    "several": {"summary": "A standard source's batch", "value": {"events": [OPENED, CLICKED]}},
                    "sendgrid": {
                        "summary": "SendGrid's own format",
                        "value": [
                            {
                                "event": "open", "email": "ann@example.com", "timestamp": 1772366400,
                                "sg_message_id": "14c5d75ce93.dfd.64b469", "category": ["spring-launch"],
                            }
                        ],
                    },
                },
            }
        },
    },
}  # fmt: skip


@asynccontextmanager
async def flushing(app: FastAPI) -> AsyncIterator[None]:
    """Opens the queue that posts are committed through, and waits for what is in it at the end. What it stored is
    counted soon after; where nothing runs by itself, as in tests, whoever reads numbers does it."""
    database: Database = app.state.database
    by_itself = getattr(app.state, "folding", getattr(app.state, "background", True))
    counter = Counter(lambda workspace_id: count_noted(database, workspace_id)) if by_itself else None
    app.state.flusher = flusher = Flusher(
        store.commit_to(database, app.state.settings.secret_key), stored=counter.note if counter else None
    )
    try:
        yield
    finally:
        await flusher.close()
        if counter:
            await counter.close()


def _expected(request: Request) -> int:
    """How many bytes the body may have: what is declared, or all that is allowed."""
    declared = request.headers.get("content-length", "")
    settings: Settings = request.app.state.settings
    return int(declared) if declared.isdecimal() else settings.webhook_limit


async def read_post(source: KnownSource, headers: Mapping[str, str], body: bytes, now: datetime) -> Read:
    """What a post says; Forbidden unless its platform signed it."""
    platform = PLATFORMS[source.platform]

    def read() -> Read:
        if not platform.verify(source.credentials, headers, body, now):
            raise Forbidden("the signature is missing or doesn't hold", code="signature_invalid")
        return platform.read(body, now)

    # A large one takes a second, in which nobody else would be answered; a small one less than going to a thread.
    return await asyncio.to_thread(read) if len(body) > LARGE else read()


@router.post("/v1/webhooks/{token}", openapi_extra=WEBHOOK, response_model=WebhookReceipt)
async def receive_webhook(token: str, request: Request, now: Now) -> WebhookReceipt | Response:
    """Takes what an e-mail platform posts to its source's URL. The answer is 200 once all of it is durable; the
    numbers hold it within five seconds.

    There is no bearer token: the platform's signature over the exact body decides. 404 for an address that is none, 403
    for a signature that is missing or doesn't hold; nothing is kept of either. 503 with Retry-After when it can't be
    stored now: send it again, the same event counts once however often it comes.

    **sendgrid**: the signed event webhook as SendGrid sends it. An event is the same if event, sg_message_id, email,
    timestamp, url, useragent and ip are; `category` are its tags.

    **standard**: anything signed as Standard Webhooks has it (headers `webhook-*` or `svix-*`). One event, an array of
    them, or `{"events": [...]}`. An event is the same if type, recipient, message_id, occurred_at and url are; `id`
    says nothing, and unknown fields are passed over.

    An event that can't be read (a field is missing, a text too long, a time before 2000 or over 24 hours ahead) goes to
    `/v1/quarantine` and costs its neighbours nothing; after the first 100 of a post the others are kept as one. A post
    of more than 200,000 events goes there whole.
    """
    sources: SourceBook = request.app.state.sources
    flusher: Flusher = request.app.state.flusher
    source = await sources.find(token)
    try:
        with flusher.expecting(_expected(request)):
            body = await request.body()
            reading = await read_post(source, request.headers, body, now)
        await flusher.store(source.workspace_id, Post(source.id, now, reading, len(body)))
    except Unavailable as problem:
        retry = {"Retry-After": str(problem.retry_after)}
        return answer(PLATFORMS[source.platform].retry_status, problem.code, problem.detail, headers=retry)
    request.app.state.measures.ingested.labels(source.platform).inc(len(reading.events))
    return WebhookReceipt(received=len(reading.events), quarantined=reading.quarantined)


def _since(name: str) -> Any:
    """The first id of the instant that is bound by this name: so that an index serves, and months are left out."""
    return func.first_id(bindparam(name, type_=DateTime(timezone=True)))


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
