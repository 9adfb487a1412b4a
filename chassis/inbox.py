"""Decides what becomes of other parts' events: each takes effect once, in a transaction of its own workspace."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Body, Request
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import Database
from chassis.fields import Currency, UtcDatetime, Zone
from chassis.identity import CurrentService
from chassis.measures import Measures
from chassis.problems import told
from chassis.telemetry import Tracing
from chassis.tokens import SERVICE_PREFIX

log = logging.getLogger("mops.inbox")


class Incoming(BaseModel):
    """A CloudEvents 1.0 event as it arrives at an inbox."""

    model_config = ConfigDict(extra="ignore")
    specversion: str = "1.0"
    id: UUID
    source: str = Field(examples=["/goals"])
    type: str = Field(examples=["goals.campaign.created"])
    subject: str
    time: UtcDatetime
    workspaceid: UUID
    traceparent: str | None = Field(None, description="The trace in which it happened (W3C).")
    data: dict[str, Any]


Handler = Callable[[AsyncSession, Incoming], Awaitable[None]]


class InboxAnswer(BaseModel):
    """What became of a batch: `refused` maps event id to the reason; all others took effect, now or before."""

    refused: dict[str, str]


inbox_router = APIRouter()


@inbox_router.post("/v1/inbox", openapi_extra={"x-graph": False}, summary="Take in other parts' events")
async def receive_events(
    request: Request,
    service: CurrentService,
    events: Annotated[list[Incoming], Body(media_type="application/cloudevents-batch+json", max_length=1000)],
) -> InboxAnswer:
    """Each event takes effect in a transaction of its own, at most once by (workspace, source, id). After one of a
    subject is refused, the later ones of that subject wait too. Services only."""
    handlers: Mapping[str, Handler] = request.app.state.consumes
    database: Database = request.app.state.database
    tracing: Tracing = request.app.state.tracing
    measures: Measures = request.app.state.measures
    refused: dict[str, str] = {}
    held: set[tuple[str, str]] = set()
    publisher = f"/{service.subject.removeprefix(SERVICE_PREFIX)}"
    for event in events:
        subject = (event.source, event.subject)
        if event.source != publisher:
            refused[str(event.id)] = f"{publisher} can't speak for {event.source}"
        elif subject in held:
            refused[str(event.id)] = "an earlier event of its subject was refused"
        elif handler := handlers.get(event.type):
            try:
                with tracing.span(f"hear {event.type}", SpanKind.CONSUMER, _origin(tracing, event)):
                    async with database.tenant(event.workspaceid) as session:
                        first = await _first_time(session, event, request.app.state.clock())
                        if first:
                            await handler(session, event)
                measures.received.labels(event.source, "taken" if first else "known").inc()
            except Exception as problem:  # whatever breaks in one handler costs that event and its subject, no other
                refused[str(event.id)] = told(problem)
                log.error("event_failed", extra={"event_type": event.type, "why": told(problem)})
                measures.received.labels(event.source, "refused").inc()
                held.add(subject)
    request.app.state.runner.wake_after_events()
    return InboxAnswer(refused=refused)


def _origin(tracing: Tracing, event: Incoming) -> Context | None:
    """The trace of the change that is told of; the post, which brings many, is linked to it."""
    return tracing.arriving({"traceparent": event.traceparent}) if event.traceparent else None


async def _first_time(session: AsyncSession, event: Incoming, now: datetime) -> bool:
    inserted = await session.scalar(
        text("""INSERT INTO inbox (workspace_id, source, id, received_at) VALUES (:workspace, :source, :id, :now)
                ON CONFLICT DO NOTHING RETURNING 1"""),
        {"workspace": event.workspaceid, "source": event.source, "id": event.id, "now": now},
    )
    return inserted is not None


class WorkspaceData(BaseModel):
    """What every part knows of a workspace."""

    model_config = ConfigDict(extra="ignore")
    name: str
    zone: Zone
    currency: Currency


async def learn_workspace(session: AsyncSession, event: Incoming) -> None:
    """Keeps a workspace's name, zone and currency as the gateway tells them."""
    workspace = WorkspaceData.model_validate(event.data)
    await session.execute(
        text("""INSERT INTO workspace (workspace_id, name, zone, currency) VALUES (:id, :name, :zone, :currency)
                ON CONFLICT (workspace_id) DO UPDATE
                SET name = excluded.name, zone = excluded.zone, currency = excluded.currency"""),
        {"id": event.workspaceid, **workspace.model_dump()},
    )
    session.info["learned"] = event.workspaceid


WORKSPACE_EVENTS: Mapping[str, Handler] = {
    "gateway.workspace.created": learn_workspace,
    "gateway.workspace.changed": learn_workspace,
}
