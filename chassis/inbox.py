"""Decides what becomes of other parts' events: each takes effect once, in a transaction of its own workspace."""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Body, FastAPI, Request
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
# Takes events of one workspace, all for the first time, in the order in which they were told, and when that is.
Keep = Callable[[AsyncSession, Sequence[Incoming], datetime], Awaitable[None]]


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
    """Each event takes effect in a transaction of its own, at most once by (workspace, source, id); where a part keeps
    all of them, those of a workspace do so together. After one of a subject is refused, the later ones of that subject
    wait too. Services only."""
    publisher = f"/{service.subject.removeprefix(SERVICE_PREFIX)}"
    own = [event for event in events if event.source == publisher]
    refused = {
        str(event.id): f"{publisher} can't speak for {event.source}" for event in events if event.source != publisher
    }
    take = _keep if request.app.state.keeps else _handle
    refused |= await take(request.app, own)
    request.app.state.runner.wake_after_events()
    return InboxAnswer(refused=refused)


async def _handle(app: FastAPI, events: Sequence[Incoming]) -> dict[str, str]:
    """Does what the part does when it hears of each; what was refused, and why."""
    handlers: Mapping[str, Handler] = app.state.consumes
    database: Database = app.state.database
    tracing: Tracing = app.state.tracing
    measures: Measures = app.state.measures
    refused: dict[str, str] = {}
    held: set[tuple[str, str]] = set()
    for event in events:
        subject = (event.source, event.subject)
        if subject in held:
            refused[str(event.id)] = "an earlier event of its subject was refused"
        elif handler := handlers.get(event.type):
            try:
                with tracing.span(f"hear {event.type}", SpanKind.CONSUMER, _origin(tracing, event)):
                    async with database.tenant(event.workspaceid) as session:
                        first = await _first_time(session, event, app.state.clock())
                        if first:
                            await handler(session, event)
                measures.received.labels(event.source, "taken" if first else "known").inc()
            except Exception as problem:  # whatever breaks in one handler costs that event and its subject, no other
                refused[str(event.id)] = told(problem)
                log.error("event_failed", extra={"event_type": event.type, "why": told(problem)})
                measures.received.labels(event.source, "refused").inc()
                held.add(subject)
    return refused


async def _keep(app: FastAPI, events: Sequence[Incoming]) -> dict[str, str]:
    """Keeps those that are new, a transaction for each workspace; what was refused, and why."""
    keep: Keep = app.state.keeps
    database: Database = app.state.database
    measures: Measures = app.state.measures
    refused: dict[str, str] = {}
    told_of: dict[UUID, list[Incoming]] = {}
    for event in events:
        told_of.setdefault(event.workspaceid, []).append(event)
    for workspace, its in told_of.items():
        now = app.state.clock()
        try:
            async with database.tenant(workspace) as session:
                new = await _first_times(session, its, now)
                if new:
                    await keep(session, new, now)
        except Exception as problem:  # whatever breaks costs this workspace's events a delay, and no other's
            refused |= {str(event.id): told(problem) for event in its}
            log.error("events_failed", extra={"workspace_id": str(workspace), "why": told(problem)})
            measures.received.labels(its[0].source, "refused").inc(len(its))
        else:
            measures.received.labels(its[0].source, "taken").inc(len(new))
            measures.received.labels(its[0].source, "known").inc(len(its) - len(new))
    return refused


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


async def _first_times(session: AsyncSession, events: Sequence[Incoming], now: datetime) -> list[Incoming]:
    """Those of a workspace's events that weren't taken before."""
    inserted = await session.scalars(
        text("""INSERT INTO inbox (workspace_id, source, id, received_at)
                SELECT cast(:workspace AS uuid), source, id, cast(:now AS timestamptz)
                FROM unnest(cast(:sources AS text[]), cast(:ids AS uuid[])) AS told (source, id)
                ON CONFLICT DO NOTHING RETURNING id"""),
        {
            "workspace": events[0].workspaceid, "now": now, "sources": [each.source for each in events],
            "ids": [each.id for each in events],
        },
    )  # fmt: skip
    new = set(inserted)
    # One that is told twice in a batch is new once.
    return list({event.id: event for event in events if event.id in new}.values())


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
