"""Decides when events are counted, and when numbers are made again from them: by a new zone, or by request."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import UUID

from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import Database
from chassis.inbox import Incoming, learn_workspace
from chassis.jobs import Deferred, Job
from chassis.problems import kind_of
from services.metrics.change.models import Change
from services.metrics.change.store import note_change
from services.metrics.rollup.folding import fold, uncounted_workspaces
from services.metrics.rollup.holding import allow_time, seize_numbers
from services.metrics.rollup.rules import differing
from services.metrics.rollup.store import cells_with_numbers, rebuild, tallies

log = logging.getLogger("mops.numbers")

# To count each flush by itself would cost the flushes their time; numbers show within five seconds.
WAIT_SECONDS = 1.0


async def change_workspace(session: AsyncSession, event: Incoming) -> None:
    """Keeps what changed; under another zone events fall on other days, so every number is made again."""
    await allow_time(session)
    zone = await seize_numbers(session)
    while await fold(session):  # under the zone that it was noted in
        pass
    await learn_workspace(session, event)
    if zone != event.data["zone"]:
        cells = await cells_with_numbers(session)
        await rebuild(session, zone_before=zone)
        cells += await cells_with_numbers(session)
        await note_change(session, Change.over((cell.campaign_id, cell.day) for cell in cells), event.time)


async def rebuild_numbers(session: AsyncSession, _: UUID) -> None:
    """Makes the workspace's numbers what its events say, and tells of those that weren't. Events wait meanwhile."""
    await allow_time(session)
    await seize_numbers(session)
    while await fold(session):  # what only waits isn't wrong
        pass
    before = await tallies(session)
    await rebuild(session)
    cells = differing(before, await tallies(session))
    now = session.info["clock"]()
    await note_change(session, Change.over((cell.campaign_id, cell.day) for cell in cells), now)


REBUILD = Deferred("rebuild_numbers", rebuild_numbers)


async def count_noted(database: Database, workspace_id: UUID) -> None:
    """Folds what one workspace's posts noted, a transaction at a time."""
    folded = 1
    while folded:
        async with database.tenant(workspace_id) as session:
            folded = await fold(session)


class Counter:
    """Counts what this process stored a moment after, all that came meanwhile together; one workspace at a time."""

    def __init__(self, count: Callable[[UUID], Awaitable[None]], wait: float = WAIT_SECONDS) -> None:
        self._count = count
        self._wait = wait
        self._noted: set[UUID] = set()
        self._working: asyncio.Task[None] | None = None

    def note(self, workspace_id: UUID) -> None:
        """Says that there is something to count."""
        self._noted.add(workspace_id)
        if self._working is None:
            self._working = asyncio.create_task(self._work())

    async def _work(self) -> None:
        try:
            while self._noted:
                await asyncio.sleep(self._wait)
                for workspace_id in list(self._noted):
                    self._noted.discard(workspace_id)
                    try:
                        await self._count(workspace_id)
                    except Exception as problem:  # it is durable, and the job comes to it
                        log.warning("events_uncounted", extra={"kind": kind_of(problem)})
        finally:
            self._working = None

    async def close(self) -> None:
        """Leaves what isn't counted yet to whoever comes next."""
        self._noted.clear()
        if self._working:
            self._working.cancel()
            await asyncio.gather(self._working, return_exceptions=True)


async def count_events(app: FastAPI) -> None:
    """Every workspace's notes: those of processes that ended before they came to it. One that fails waits."""
    database: Database = app.state.database
    async with database.worker() as session:
        waiting = await uncounted_workspaces(session)
    for workspace_id in waiting:
        try:
            await count_noted(database, workspace_id)
        except Exception:  # whatever is wrong with one workspace, the others are counted
            log.exception("events_uncounted", extra={"workspace_id": str(workspace_id)})


COUNT_EVENTS = Job("count_events", timedelta(seconds=5), count_events)
