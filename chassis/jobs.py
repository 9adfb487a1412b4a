"""Decides when work without a request runs: on a schedule, once across replicas, with what became of it kept."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from chassis.db import Database
from chassis.problems import told

log = logging.getLogger("mops.jobs")

LOOK_SECONDS = 5.0


@dataclass
class Job:
    """`run(app)` every so often, and where `after_events` says so as soon as events came in or were taken by others."""

    name: str
    every: timedelta
    run: Callable[[FastAPI], Awaitable[None]]
    after_events: bool = False
    woken: asyncio.Event = field(default_factory=asyncio.Event)


def wake_jobs(jobs: Sequence[Job]) -> None:
    """Asks for a run, on this replica, of those that follow events."""
    for job in jobs:
        if job.after_events:
            job.woken.set()


async def run_jobs(app: FastAPI, jobs: Sequence[Job]) -> None:
    """Runs every job for ever, each in a loop of its own."""
    await asyncio.gather(*(_repeat(app, job) for job in jobs))


async def _repeat(app: FastAPI, job: Job) -> None:
    while True:
        asked = job.woken.is_set()
        job.woken.clear()
        try:
            await run_once(app, job, asked=asked)
        except (SQLAlchemyError, OSError):
            log.warning("job_not_looked_at", extra={"job": job.name})
        with suppress(TimeoutError):
            await asyncio.wait_for(job.woken.wait(), LOOK_SECONDS)


async def run_once(app: FastAPI, job: Job, *, asked: bool = False) -> bool:
    """Runs the job if it is due (or asked for) and no other replica took this turn; says whether it ran."""
    database: Database = app.state.database
    clock: Callable[[], datetime] = app.state.clock
    now = clock()
    async with database.worker() as session:
        turn = await session.scalar(
            text("""INSERT INTO job (name, due_at, started_at) VALUES (:name, :next, :now)
                    ON CONFLICT (name) DO UPDATE SET due_at = :next, started_at = :now
                    WHERE job.due_at <= :now OR :asked RETURNING 1"""),
            {"name": job.name, "next": now + job.every, "now": now, "asked": asked},
        )
    if not turn:
        return False
    error = None
    try:
        await job.run(app)
    except Exception as problem:  # a job that fails is told of and comes round again
        error = told(problem)
        log.error("job_failed", extra={"job": job.name, "why": error})
    async with database.worker() as session:
        await session.execute(
            text("UPDATE job SET finished_at = :now, last_error = :error WHERE name = :name"),
            {"name": job.name, "now": clock(), "error": error},
        )
    return True
