"""Decides what a process does for its sources besides answering: it tells what it counted, and forgets what is old."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

from fastapi import FastAPI

from chassis.db import Database
from chassis.jobs import Job
from chassis.outside import Outside
from chassis.secrets import Sealer
from services.metrics.source import store
from services.metrics.source.certificates import Certificates
from services.metrics.source.intake import TELL_SECONDS, Intake


@asynccontextmanager
async def knowing_sources(app: FastAPI) -> AsyncIterator[None]:
    """Opens what seals credentials, finds sources by their token, fetches certificates, and counts what comes."""
    state = app.state
    state.sealer = Sealer(state.settings.secret_key, store.PURPOSE)
    state.sources = store.SourceBook(state.database, state.sealer)
    state.outside = Outside()
    state.certificates = Certificates(state.outside)
    state.intake = Intake(state.database)
    telling = asyncio.create_task(_keep_telling(state.intake)) if getattr(state, "background", True) else None
    try:
        yield
    finally:
        if telling is not None:
            telling.cancel()
            with suppress(asyncio.CancelledError):
                await telling
        await state.intake.tell()


async def _keep_telling(intake: Intake) -> None:
    while True:
        await asyncio.sleep(TELL_SECONDS)
        await intake.tell()


async def _forget(app: FastAPI) -> None:
    database: Database = app.state.database
    async with database.worker() as session:
        await store.forget(session, app.state.clock())


FORGET = Job("forget_intake", timedelta(hours=1), _forget)
