"""Decides how deliveries leave a process: leased for longer than an attempt takes, many at once, each by itself."""

import asyncio
import json
import logging
import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any
from uuid import UUID

from chassis.db import Database
from chassis.fields import rfc3339
from chassis.measures import Measures
from chassis.outside import Outside, RefusedError, UnreachableError
from chassis.problems import told, words_of
from chassis.secrets import SealBrokenError, Sealer
from gateway.delivery import actions, store
from gateway.delivery.noting import Noting, Outcome
from gateway.delivery.places import Places
from gateway.delivery.rules import asked_wait, is_taken, sign, words_of_status
from gateway.endpoint.rules import live_secrets
from gateway.endpoint.store import unseal

log = logging.getLogger("mops.webhooks")

POST_SECONDS = 15.0
IDLE_SECONDS = 5.0
STOP_SECONDS = 1.0


class Dispatcher:
    """Tells endpoints what they are owed, from one process; any number of them share the work."""

    def __init__(
        self, database: Database, outside: Outside, sealer: Sealer, clock: Callable[[], datetime], measures: Measures
    ) -> None:
        self._database, self._outside, self._sealer = database, outside, sealer
        self._clock, self._measures = clock, measures
        self._places = Places()
        self._chance = random.Random()  # noqa: S311  # spreads retries, and keeps nothing secret
        self._noting = Noting(self._note)
        self._woken = asyncio.Event()
        self._stopping = False
        self._running: set[asyncio.Task[None]] = set()

    def wake(self) -> None:
        self._woken.set()

    async def run(self) -> None:
        """Tells what is due until it is stopped: at once after a commit here or an answer, and by looking now and then
        for what has become due, or what another process left."""
        try:
            while not self._stopping:
                self._woken.clear()
                begun = 0
                try:
                    begun = await self.take_up()
                except Exception as problem:  # whatever it is: nobody would miss a dispatcher that ended
                    log.warning("webhooks_not_looked_at", extra={"why": words_of(problem)})
                if not begun:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(IDLE_SECONDS):
                            await self._woken.wait()
            await asyncio.gather(*self._running, return_exceptions=True)
        finally:
            for task in self._running:
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)

    def stop(self) -> None:
        """Asks for the end: what is under way is finished, and nothing more is begun."""
        self._stopping = True
        self.wake()

    async def deliver_due(self) -> int:
        """All that is due now, until nothing of it is under way; how many attempts that were."""
        attempts = 0
        while True:
            was_idle = not self._running
            attempts += await self.take_up()
            if self._running:
                await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
            elif was_idle:  # or what ended during the look may have held something back
                return attempts

    async def take_up(self) -> int:
        """Begins as many attempts as there is room for, and says how many."""
        if not self._places.free:
            return 0
        async with self._database.worker() as session:
            leased = await store.lease(session, self._places, self._clock())
        for row in leased:
            self._places.take(row.id, row.endpoint_id)
            task = asyncio.create_task(self._attempt(row))
            self._running.add(task)
            task.add_done_callback(self._ended)
        return len(leased)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self.wake()

    async def _attempt(self, row: Any) -> None:
        began, seconds = time.monotonic(), None
        try:
            outcome = await self._post(row)
            # Not what it takes to note it: that is our own slowness.
            seconds = time.monotonic() - began
            self._measures.webhook_posts.labels("failed" if outcome.error else "delivered").observe(seconds)
            await self._noting.note(outcome)
        except asyncio.CancelledError:
            async with self._database.tenant(row.workspace_id) as session:
                await store.let_go(session, row)
            raise
        except Exception as problem:  # whatever it is: the lease runs out, and it is told again
            log.warning("webhook_not_settled", extra={"delivery_id": str(row.id), "why": told(problem)})
        finally:
            self._places.leave(row.id, time.monotonic() - began if seconds is None else seconds)

    async def _note(self, workspace_id: UUID, outcomes: Sequence[Outcome]) -> None:
        async with self._database.tenant(workspace_id) as session:
            for each in outcomes:
                now, chance = self._clock(), self._chance.random()
                await actions.settle(session, each.row, each.status, each.error, now, chance, each.asked)

    async def _post(self, row: Any) -> Outcome:
        now = self._clock()
        body, event_id, timestamp = event_of(row), str(row.event_id), int(now.timestamp())
        try:
            secrets = [
                unseal(self._sealer, row.workspace_id, row.endpoint_id, each)
                for each in live_secrets(row.secret, row.old_secret, row.old_secret_ends_at, now)
            ]
            headers = {
                "Content-Type": "application/json", "User-Agent": "MOps-Webhooks/1", "webhook-id": event_id,
                "webhook-timestamp": str(timestamp), "webhook-signature": sign(secrets, event_id, timestamp, body),
            }  # fmt: skip
            answered = await self._outside.post(row.url, body, headers, POST_SECONDS)
        except (RefusedError, UnreachableError) as problem:
            return Outcome(row, None, str(problem))
        except SealBrokenError:
            log.error("webhook_secret_unreadable", extra={"endpoint_id": str(row.endpoint_id)})
            return Outcome(row, None, "its secret can't be read here: rotate it")
        except Exception as problem:  # whatever it is counts as an attempt, or it would come again for ever
            log.error("webhook_not_posted", extra={"delivery_id": str(row.id), "why": told(problem)})
            return Outcome(row, None, "it couldn't be posted")
        error = None if is_taken(answered.status) else words_of_status(answered.status)
        return Outcome(row, answered.status, error, asked_wait(answered.status, answered.retry_after, self._clock()))


def event_of(row: Any) -> bytes:
    """The event as CloudEvents has it, as `openapi/asyncapi/events.json` says; the same bytes each time."""
    event = {
        "specversion": "1.0", "id": str(row.event_id), "source": f"/{row.part}", "type": row.type,
        "subject": row.subject, "time": rfc3339(row.occurred_at), "workspaceid": str(row.workspace_id),
        "datacontenttype": "application/json", "data": row.data,
    } | ({"traceparent": row.trace} if row.trace else {})  # fmt: skip
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
