"""Decides how a change becomes known elsewhere: recorded in its own transaction, delivered at least once, and in order
per subject."""

import asyncio
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID

import httpx
from opentelemetry.trace import SpanKind
from pydantic import BaseModel, ConfigDict
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import Database, workspace_of
from chassis.fields import new_id, rfc3339
from chassis.identity import ServiceAccount
from chassis.inbox import InboxAnswer
from chassis.measures import Measures
from chassis.problems import told, words_of
from chassis.settings import Settings
from chassis.telemetry import Tracing, leaving

log = logging.getLogger("mops.outbox")

BATCH = 200
IDLE_SECONDS = 5.0
FIRST_RETRY = timedelta(milliseconds=500)
LAST_RETRY = timedelta(seconds=60)
POST_SECONDS = 20
# Longer than a post can take; after a crash in the middle of one, its events come again when this has passed.
LEASE = timedelta(seconds=25)


class Event(BaseModel):
    """Something that happened, as its publisher tells it. Subclasses set `type` and their fields are `data`."""

    model_config = ConfigDict(frozen=True)
    type: ClassVar[str]


async def record(session: AsyncSession, event: Event, subject: UUID, now: datetime) -> None:
    """Adds an event about `subject` to this transaction. Whoever hears this part gets it after the commit.

    Positions come from a sequence, whose values commit out of order. The lock makes those of one subject rise in the
    order of commits; between subjects no order is promised, and no reader ever remembers "the last one seen".
    """
    await record_all(session, [Happened(event, subject, now, leaving().get("traceparent"))])


@dataclass(frozen=True)
class Happened:
    """An event about a subject, and the trace that it is part of."""

    event: Event
    subject: UUID
    at: datetime
    trace: str | None


async def record_all(session: AsyncSession, happened: Sequence[Happened]) -> None:
    """The same of several events at once, each about another subject."""
    if not happened:
        return
    ordered = sorted(happened, key=lambda each: str(each.subject))
    subjects = [str(each.subject) for each in ordered]
    await session.execute(_TAKE_TURNS, {"subjects": subjects})
    row = {
        "workspace": workspace_of(session), "ids": [new_id() for _ in ordered],
        "types": [each.event.type for each in ordered], "subjects": subjects,
        "data": [each.event.model_dump_json() for each in ordered], "at": [each.at for each in ordered],
        "traces": [each.trace for each in ordered], "subscribers": session.info["subscribers"],
    }  # fmt: skip
    await session.execute(_RECORD, row)
    session.info["recorded"] = True


# In the order of subjects, so that no two transactions wait for each other.
_TAKE_TURNS = text("""
    SELECT pg_advisory_xact_lock(hashtextextended(subject, 0))
    FROM unnest(cast(:subjects AS text[])) WITH ORDINALITY AS taken (subject, place) ORDER BY place
""")
_RECORD = text("""
    WITH happened AS (
        SELECT * FROM unnest(cast(:ids AS uuid[]), cast(:types AS text[]), cast(:subjects AS text[]),
            cast(:data AS text[]), cast(:at AS timestamptz[]), cast(:traces AS text[]))
            AS happened (id, type, subject, data, at, trace)
    ), event AS (
        INSERT INTO outbox (workspace_id, id, type, subject, data, occurred_at, trace)
        SELECT cast(:workspace AS uuid), id, type, subject, cast(data AS jsonb), at, trace FROM happened
    )
    INSERT INTO delivery (workspace_id, outbox_id, subscriber, subject, attempts, due_at, last_error)
    SELECT cast(:workspace AS uuid), id, subscriber, subject, 0, at, ''
    FROM happened, unnest(cast(:subscribers AS text[])) AS subscriber
""")


@dataclass
class Relay:
    """Pushes what is waiting in one part's outbox to its subscribers."""

    settings: Settings
    database: Database
    http: httpx.AsyncClient
    account: ServiceAccount
    clock: Callable[[], datetime]
    tracing: Tracing
    measures: Measures
    after_delivery: Callable[[], None]

    def __post_init__(self) -> None:
        self._woken = {subscriber: asyncio.Event() for subscriber in self.settings.subscribers}
        self._stopping = False
        self.failing: dict[str, str] = {}

    def wake(self) -> None:
        for woken in self._woken.values():
            woken.set()

    def stop(self) -> None:
        """Asks for the end: what is being delivered is, and nothing more is begun."""
        self._stopping = True
        self.wake()

    async def run(self) -> None:
        """Delivers until it is stopped, to each subscriber at its own pace: a frozen one holds up no other."""
        # Not gather: cancelled, it is done with the first that is, and the others' leases would stay.
        async with asyncio.TaskGroup() as serving:
            for subscriber in self._woken:
                serving.create_task(self._serve(subscriber))

    async def _serve(self, subscriber: str) -> None:
        """At once after a commit here; by looking now and then for what other replicas or a failure left."""
        woken = self._woken[subscriber]
        while not self._stopping:
            woken.clear()
            try:
                delivered = await self.deliver(subscriber)
                self.failing.pop(subscriber, None)
            except Exception as problem:  # whatever it is: nobody would miss a relay that ended
                self.failing[subscriber] = words_of(problem)
                await asyncio.sleep(FIRST_RETRY.total_seconds())
                continue
            if delivered:
                self.after_delivery()
            else:
                with suppress(TimeoutError):
                    async with asyncio.timeout(IDLE_SECONDS):
                        await woken.wait()

    async def deliver(self, subscriber: str) -> int:
        """One batch to one subscriber: how many it took. No transaction is open while it is called."""
        waiting = await self._lease(subscriber)
        if not waiting:
            return 0
        try:
            return await self._send(subscriber, waiting)
        except asyncio.CancelledError:
            # Whoever starts next needn't wait for a lease that nobody uses.
            await self._settle(subscriber, [], {row.id: ("stopped before an answer", timedelta(0)) for row in waiting})
            raise

    async def _send(self, subscriber: str, waiting: Sequence[Any]) -> int:
        try:
            with self.tracing.span(
                f"deliver to {subscriber}", SpanKind.PRODUCER, self.tracing.arriving({}), mops__events=len(waiting)
            ):
                refused = await self._post(subscriber, [self._event(row) for row in waiting])
        except (httpx.HTTPError, ValueError) as problem:
            self.measures.undelivered.labels(subscriber).inc()
            await self._settle(subscriber, [], {row.id: (told(problem), FIRST_RETRY) for row in waiting})
            raise
        taken = [row.id for row in waiting if str(row.id) not in refused]
        again = {
            row.id: (refused[str(row.id)], min(FIRST_RETRY * 2 ** min(row.attempts, 10), LAST_RETRY))
            for row in waiting
            if str(row.id) in refused
        }
        await self._settle(subscriber, taken, again)
        self.measures.delivered.labels(subscriber).inc(len(taken))
        return len(taken)

    async def _lease(self, subscriber: str) -> Sequence[Any]:
        """Takes waiting events for a while, so that no other replica sends them too. Leases are taken one replica at a
        time: a leased event holds back the later ones of its subject, which only a committed lease can."""
        async with self.database.worker() as session:
            lock = f"relay:{self.settings.part}:{subscriber}"
            if not await session.scalar(text("SELECT pg_try_advisory_xact_lock(hashtextextended(:k, 0))"), {"k": lock}):
                return []
            now = self.clock()
            found = (await session.execute(_WAITING, {"subscriber": subscriber, "now": now, "most": BATCH})).all()
            waiting = self._that_fit(found)
            if waiting:
                await session.execute(
                    text("UPDATE delivery SET due_at = :due WHERE subscriber = :s AND outbox_id = ANY(:ids)"),
                    {"due": now + LEASE, "s": subscriber, "ids": [row.id for row in waiting]},
                )
            return waiting

    def _that_fit(self, found: Sequence[Any]) -> Sequence[Any]:
        """The first of them, as many as an inbox takes at once: what is too large would be refused for ever."""
        room = self.settings.body_limit - 2  # brackets
        for count, row in enumerate(found):
            room -= len(json.dumps(self._event(row))) + 2  # a comma
            if room < 0:
                return found[: max(1, count)]
        return found

    async def _settle(
        self, subscriber: str, taken: Sequence[UUID], again: Mapping[UUID, tuple[str, timedelta]]
    ) -> None:
        async with self.database.worker() as session:
            await session.execute(
                text("DELETE FROM delivery WHERE subscriber = :s AND outbox_id = ANY(:ids)"),
                {"s": subscriber, "ids": list(taken)},
            )
            for outbox_id, (error, wait) in again.items():
                await session.execute(
                    text("""UPDATE delivery SET attempts = attempts + 1, due_at = :due, last_error = :error
                            WHERE subscriber = :s AND outbox_id = :id"""),
                    {"due": self.clock() + wait, "error": error[:500], "s": subscriber, "id": outbox_id},
                )

    def _event(self, row: Any) -> dict[str, Any]:
        return {
            "specversion": "1.0", "id": str(row.id), "source": f"/{self.settings.part}", "type": row.type,
            "subject": row.subject, "time": rfc3339(row.occurred_at), "workspaceid": str(row.workspace_id),
            "datacontenttype": "application/json", "data": row.data,
        } | ({"traceparent": row.trace} if row.trace else {})  # fmt: skip

    async def _post(self, subscriber: str, events: list[dict[str, Any]]) -> Mapping[str, str]:
        """What the subscriber refused: event id -> why."""
        answer = await self.http.post(
            f"{self.settings.url(subscriber)}/v1/inbox",
            content=json.dumps(events),
            headers=await self.account.headers() | {"Content-Type": "application/cloudevents-batch+json"},
            timeout=POST_SECONDS,
        )
        refused = InboxAnswer.model_validate_json(answer.raise_for_status().content).refused
        for event_id, why in refused.items():
            log.warning("event_refused", extra={"subscriber": subscriber, "event_id": event_id, "why": why})
        return refused


# Waiting events in order, but none whose subject has an earlier one that isn't due yet.
_WAITING = text("""
    SELECT o.id, o.type, o.subject, o.data, o.occurred_at, o.workspace_id, o.trace, d.attempts
    FROM delivery d JOIN outbox o ON (o.workspace_id, o.id) = (d.workspace_id, d.outbox_id)
    WHERE d.subscriber = :subscriber AND NOT EXISTS (
        SELECT 1 FROM delivery e
        WHERE e.subscriber = d.subscriber AND e.subject = d.subject AND e.position <= d.position AND e.due_at > :now
    )
    ORDER BY d.position LIMIT :most
""")


async def pending(session: AsyncSession) -> int:
    """How many deliveries wait in this part's outbox, counted to a thousand (worker transaction)."""
    counted = text("SELECT count(*) FROM (SELECT FROM delivery LIMIT 1000) AS counted")
    return int(await session.scalar(counted) or 0)
