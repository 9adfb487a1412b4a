"""Decides when work without a request runs: on a schedule, or put off by a change; once across replicas; told of."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from fastapi import FastAPI
from opentelemetry.trace import SpanKind
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import Database, workspace_of
from chassis.fields import new_id
from chassis.problems import kind_of, told, words_of
from chassis.telemetry import leaving

log = logging.getLogger("mops.jobs")

LOOK_SECONDS = 5.0
AT_ONCE = 4
# Of what falls due together each waits so long for the one before it: most take a few milliseconds, and side by side
# they would hold a connection each. One that takes long holds nobody up.
HEAD_START_SECONDS = 0.2
# After a crash in the middle of a job it runs again when this has passed; while it runs, its lease is renewed.
LEASE = timedelta(seconds=20)
RENEW_SECONDS = 5.0
MOST_ATTEMPTS = 8
FIRST_RETRY = timedelta(seconds=5)
LAST_RETRY = timedelta(minutes=10)


class JobState(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True)
class Job:
    """`run(app)` every so often, and where `after_events` says so as soon as events came in or were taken by others.
    It may be cut short and begin again, so each of its steps is a transaction of its own."""

    name: str
    every: timedelta
    run: Callable[[FastAPI], Awaitable[None]]
    after_events: bool = False


@dataclass(frozen=True)
class Deferred:
    """`run(session, subject)` once for each time that it was put off, in a transaction of the workspace that did. What
    it writes takes effect once: it commits together with the word that it is done. `given_up(session, subject, why)`
    tells whoever waits for it that it won't be tried again, together with the word that it failed."""

    name: str
    run: Callable[[AsyncSession, UUID], Awaitable[None]]
    given_up: Callable[[AsyncSession, UUID, str], Awaitable[None]] | None = None


class LeaseLostError(Exception):
    """Another replica took this over meanwhile, and what was done here is undone."""


async def defer(session: AsyncSession, job: Deferred, subject: UUID, wait: timedelta = timedelta(0)) -> UUID:
    """Puts work about `subject` off until this transaction is committed, and `wait` longer; the job's id."""
    now: datetime = session.info["clock"]()
    job_id = new_id()
    await session.execute(
        text("""INSERT INTO work (id, name, workspace_id, subject, state, attempts, created_at, changed_at, due_at,
                                  trace)
                VALUES (:id, :name, :workspace, :subject, 'waiting', 0, :now, :now, :due, :trace)"""),
        {
            "id": job_id, "name": job.name, "workspace": workspace_of(session), "subject": subject, "now": now,
            "due": now + wait, "trace": leaving().get("traceparent"),
        },
    )  # fmt: skip
    session.info["recorded"] = True
    return job_id


class Runner:
    """Runs one part's jobs. A job that runs is leased until `due_at`; whoever finds a lease over takes it."""

    def __init__(self, app: FastAPI, jobs: Sequence[Job | Deferred]) -> None:
        self._app = app
        self._database: Database = app.state.database
        self._clock: Callable[[], datetime] = app.state.clock
        self._jobs = {job.name: job for job in jobs}
        self._asked: set[str] = set()
        self._woken = asyncio.Event()
        self._enrolled = self._stopping = False
        self._running: set[asyncio.Task[None]] = set()

    def wake(self) -> None:
        """Looks at once, as somebody put work off here."""
        self._woken.set()

    def wake_after_events(self) -> None:
        """Runs what follows events, before its time."""
        self._asked |= {job.name for job in self._jobs.values() if isinstance(job, Job) and job.after_events}
        self._woken.set()

    def stop(self) -> None:
        """Asks for the end: what runs is finished, and nothing more is begun."""
        self._stopping = True
        self._woken.set()

    async def run(self) -> None:
        """Runs what is due until it is stopped. Cancelled, it lets go of what it leased."""
        try:
            while not self._stopping:
                self._woken.clear()
                turns: Sequence[Any] = ()
                try:
                    await self._enroll()
                    turns = await self._take(AT_ONCE - len(self._running))
                except Exception as problem:  # whatever it is: nobody would miss a runner that ended
                    log.warning("jobs_not_looked_at", extra={"why": words_of(problem)})
                task: asyncio.Task[None] | None = None
                for turn in turns:
                    task = asyncio.create_task(self._perform(turn, task))
                    self._running.add(task)
                    task.add_done_callback(self._ended)
                if not turns:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(LOOK_SECONDS):
                            await self._woken.wait()
            await asyncio.gather(*self._running, return_exceptions=True)
        finally:
            for task in self._running:
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._woken.set()
        if not task.cancelled() and (problem := task.exception()):
            log.error("job_not_settled", extra={"why": told(problem)})

    async def run_due(self, *asked: Job) -> int:
        """Runs what is due now, and what is asked for, one after the other; how many that were."""
        await self._enroll()
        self._asked |= {job.name for job in asked}
        count = 0
        while turns := await self._take(AT_ONCE):
            for turn in turns:
                await self._perform(turn)
            count += len(turns)
        return count

    async def _enroll(self) -> None:
        """A row for each periodic job that has none yet, due at once."""
        if self._enrolled:
            return
        names = [job.name for job in self._jobs.values() if isinstance(job, Job)]
        async with self._database.worker() as session:
            await session.execute(
                text("""INSERT INTO work (id, name, state, attempts, created_at, changed_at, due_at)
                        SELECT id, name, 'waiting', 0, :now, :now, :now
                        FROM unnest(cast(:ids AS uuid[]), cast(:names AS text[])) AS t (id, name)
                        ON CONFLICT (name) WHERE workspace_id IS NULL DO NOTHING"""),
                {"ids": [new_id() for _ in names], "names": names, "now": self._clock()},
            )
        self._enrolled = True

    async def _take(self, most: int) -> Sequence[Any]:
        """Leases what is due: every periodic job, and so many deferred ones."""
        now = self._clock()
        async with self._database.worker() as session:
            if self._asked:
                brought = await session.scalars(
                    text("""UPDATE work SET due_at = :now WHERE id IN (
                                SELECT id FROM work WHERE workspace_id IS NULL AND name = ANY(:names)
                                AND state <> 'running' FOR UPDATE SKIP LOCKED) RETURNING name"""),
                    {"now": now, "names": list(self._asked)},
                )
                # What runs already may have begun before the events came: it is asked for again at the next look.
                self._asked -= set(brought)
            taken = await session.execute(
                _TAKE, {"now": now, "lease": now + LEASE, "names": list(self._jobs), "most": max(0, most)}
            )
            return taken.all()

    async def _perform(self, turn: Any, before: asyncio.Task[None] | None = None) -> None:
        state = self._app.state
        job, began = self._jobs[turn.name], time.perf_counter()
        renewing = asyncio.create_task(self._renew(turn))
        parent = state.tracing.arriving({"traceparent": turn.trace} if turn.trace else {})
        outcome = "done"
        try:
            with state.tracing.span(f"job {job.name}", SpanKind.INTERNAL, parent, mops__job__id=str(turn.id)):
                try:
                    if before is not None:
                        await asyncio.wait((before,), timeout=HEAD_START_SECONDS)
                    if isinstance(job, Job):
                        await job.run(self._app)
                        await self._settle(turn, JobState.DONE, turn.started_at + job.every)
                    else:
                        await self._run_deferred(turn, job)
                except asyncio.CancelledError:
                    await self._settle(turn, JobState.WAITING, self._clock(), turn.attempts - 1, "stopped on the way")
                    raise
                except Exception as problem:  # a job that fails is told of and comes round again
                    outcome = await self._failed(turn, job, problem)
        finally:
            renewing.cancel()
            state.measures.job_runs.labels(job.name, outcome).observe(time.perf_counter() - began)

    async def _run_deferred(self, turn: Any, job: Deferred) -> None:
        async with self._database.tenant(turn.workspace_id) as session:
            session.info["operation"] = job.name
            await job.run(session, turn.subject)
            if not await session.scalar(_SETTLE, self._outcome(turn, JobState.DONE, None)):
                raise LeaseLostError

    async def _failed(self, turn: Any, job: Job | Deferred, problem: Exception) -> str:
        said = {"job": job.name, "job_id": str(turn.id), "attempt": turn.attempts, "why": told(problem)}
        if isinstance(job, Job):
            log.error("job_failed", extra=said)
            # Every workspace's administrators see it, and words may be about one of them.
            await self._settle(turn, JobState.FAILED, turn.started_at + job.every, error=kind_of(problem))
        elif turn.attempts >= MOST_ATTEMPTS:
            log.error("job_given_up", extra=said)
            await self._give_up(turn, job, words_of(problem))
            return "given_up"
        else:
            log.warning("job_failed", extra=said)
            wait = min(FIRST_RETRY * 2 ** (turn.attempts - 1), LAST_RETRY)
            await self._settle(turn, JobState.WAITING, self._clock() + wait, error=words_of(problem))
        return "failed"

    async def _give_up(self, turn: Any, job: Deferred, why: str) -> None:
        outcome = self._outcome(turn, JobState.FAILED, None, error=why)
        try:
            if job.given_up is not None:
                async with self._database.tenant(turn.workspace_id) as session:
                    session.info["operation"] = job.name
                    if await session.scalar(_SETTLE, outcome):
                        await job.given_up(session, turn.subject, why)
                return
        except Exception as problem:  # that nobody could be told leaves it failed all the same
            log.error("giving_up_not_told", extra={"job": job.name, "job_id": str(turn.id), "why": told(problem)})
        await self._settle(turn, JobState.FAILED, None, error=why)

    async def _settle(
        self, turn: Any, state: JobState, due_at: datetime | None, attempts: int | None = None, error: str | None = None
    ) -> None:
        async with self._database.worker() as session:
            await session.execute(_SETTLE, self._outcome(turn, state, due_at, attempts, error))

    def _outcome(
        self, turn: Any, state: JobState, due_at: datetime | None, attempts: int | None = None, error: str | None = None
    ) -> dict[str, Any]:
        return {
            "id": turn.id, "mine": turn.started_at, "attempt": turn.attempts, "state": state.value, "due": due_at,
            "error": error, "now": self._clock(), "attempts": turn.attempts if attempts is None else attempts,
        }  # fmt: skip

    async def _renew(self, turn: Any) -> None:
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            with suppress(Exception):  # the next one may do it
                async with self._database.worker() as session:
                    await session.execute(
                        text(
                            "UPDATE work SET due_at = :due WHERE id = :id AND state = 'running' AND attempts = :attempt"
                        ),
                        {"due": self._clock() + LEASE, "id": turn.id, "attempt": turn.attempts},
                    )


async def run_once(app: FastAPI, job: Job, *, asked: bool = False) -> bool:
    """Runs the job if it is due (or asked for) and no other replica took this turn; says whether it ran."""
    return await Runner(app, [job]).run_due(*([job] if asked else [])) > 0


_TAKE = text("""
    UPDATE work SET state = 'running', attempts = attempts + 1, started_at = :now, changed_at = :now,
                    finished_at = NULL, due_at = :lease
    WHERE id IN (
        SELECT id FROM work WHERE workspace_id IS NULL AND name = ANY(:names) AND due_at <= :now
        FOR UPDATE SKIP LOCKED
    ) OR id IN (
        SELECT id FROM work WHERE workspace_id IS NOT NULL AND name = ANY(:names) AND due_at <= :now
        ORDER BY due_at LIMIT :most FOR UPDATE SKIP LOCKED
    )
    RETURNING id, name, workspace_id, subject, attempts, started_at, trace
""")
# Only by whoever still holds the lease. A periodic job counts its attempts anew after each success.
_SETTLE = text("""
    UPDATE work SET state = cast(:state AS text), due_at = :due, changed_at = :now, finished_at = :now,
                    last_error = :error,
                    attempts = CASE WHEN :state = 'done' AND workspace_id IS NULL THEN 0 ELSE :attempts END,
                    succeeded_at = CASE WHEN :state = 'done' THEN :now ELSE succeeded_at END
    WHERE id = :id AND state = 'running' AND started_at = :mine AND attempts = :attempt
    RETURNING 1
""")
