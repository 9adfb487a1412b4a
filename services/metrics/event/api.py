"""Decides what platforms can send, and what callers see of it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, cast
from uuid import UUID

from fastapi import APIRouter, FastAPI, Query, Request
from sqlalchemy import ColumnElement

from chassis.db import Now, Session
from chassis.errors import Forbidden, Invalid
from chassis.identity import CurrentPrincipal, scope
from chassis.paging import Group, Groups, Ids, LimitPer, Listing, Page, grouped, listing, page
from services.metrics.event import store
from services.metrics.event.flush import Flusher, Post
from services.metrics.event.models import Event, EventRead, WebhookReceipt
from services.metrics.event.rules import EventType, EventVerdict
from services.metrics.recipient.store import addresses_of
from services.metrics.source.platforms import PLATFORMS
from services.metrics.source.store import SourceBook

router = APIRouter(tags=["events"])

PEOPLE = "metrics:people"

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
    """Opens the queue that posts are committed through, and waits for what is in it at the end."""
    app.state.flusher = flusher = Flusher(store.commit_to(app.state.database, app.state.settings.secret_key))
    try:
        yield
    finally:
        await flusher.close()


@router.post("/v1/webhooks/{token}", openapi_extra=WEBHOOK)
async def receive_webhook(token: str, request: Request, now: Now) -> WebhookReceipt:
    """Takes what an e-mail platform posts to its source's URL. The answer is 200 once all of it is durable, and the
    numbers hold it by then.

    There is no bearer token: the platform's signature over the exact body decides. 404 for an address that is none, 403
    for a signature that is missing or doesn't hold; nothing is kept of either. 503 with Retry-After when it can't be
    stored now: send it again, the same event counts once however often it comes.

    **sendgrid**: the signed event webhook as SendGrid sends it. An event is the same if event, sg_message_id, email,
    timestamp, url, useragent and ip are; `category` are its tags.

    **standard**: anything signed as Standard Webhooks has it (headers `webhook-*` or `svix-*`). One event, an array of
    them, or `{"events": [...]}`. An event is the same if type, recipient, message_id, occurred_at and url are; `id`
    says nothing, and unknown fields are passed over.

    An event that can't be read (a field is missing, a text too long, a time before 2000 or over 24 hours ahead) goes to
    `/v1/quarantine` and costs its neighbours nothing.
    """
    sources: SourceBook = request.app.state.sources
    flusher: Flusher = request.app.state.flusher
    source = await sources.find(token)
    # Before the body is read: what can't wait here needn't be taken in.
    flusher.assert_room(0)
    body = await request.body()
    platform = PLATFORMS[source.platform]
    if not platform.verify(source.credentials, request.headers, body, now):
        raise Forbidden("the signature is missing or doesn't hold", code="signature_invalid")
    reading = platform.read(body, now)
    await flusher.store(source.workspace_id, Post(source.id, now, reading, len(body)))
    return WebhookReceipt(received=len(reading.events), quarantined=len(reading.unreadable))


async def _read(session: Session, who: CurrentPrincipal, rows: list[Event]) -> list[EventRead]:
    """Rows as the caller may see them: addresses only with the scope for people's data."""
    ids = {row.recipient_id for row in rows if row.recipient_id} if PEOPLE in who.scopes else set()
    addresses = await addresses_of(session, ids) if ids else {}
    return [
        EventRead(
            **row.model_dump(include=set(EventRead.model_fields) - {"recipient"}),
            recipient=addresses.get(row.recipient_id) if row.recipient_id else None,
        )
        for row in rows
    ]


@router.get("/v1/events", dependencies=[scope("metrics:read")])
async def list_events(
    session: Session,
    who: CurrentPrincipal,
    id: Ids = [],
    source_id: Ids = [],
    campaign_id: Ids = [],
    type: Annotated[list[EventType], Query()] = [],
    verdict: Annotated[list[EventVerdict], Query()] = [],
    limit_per: LimitPer = None,
    asked: Listing = listing("occurred_at"),
) -> Page[EventRead] | Groups[EventRead]:
    """Events, in the order they arrived unless sorted otherwise. With `limit_per`, the first of each `campaign_id`."""
    statement = store.select_events(id, source_id, [] if limit_per else campaign_id, type, verdict)
    if limit_per is None:
        rows, next_cursor = await page(session, Event, statement, asked)
        return Page[EventRead](items=await _read(session, who, rows), next_cursor=next_cursor)
    if not campaign_id:
        raise Invalid.field("campaign_id", "limit_per groups by campaign_id: name some", "missing")
    groups = await grouped(
        session, Event, statement, cast("ColumnElement[UUID]", Event.campaign_id), campaign_id, limit_per, asked
    )
    read = iter(await _read(session, who, [row for _, rows, _ in groups for row in rows]))
    return Groups[EventRead](
        groups=[
            Group[EventRead](key=key, items=[next(read) for _ in rows], next_cursor=cursor)
            for key, rows, cursor in groups
        ]
    )
