"""Decides when others are told that an obligation wasn't met in time: once for each time that it was due."""

from datetime import datetime, timedelta
from uuid import UUID

from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import Database
from chassis.jobs import Job
from chassis.outbox import record
from services.budget.contract.store import today_of
from services.budget.obligation import store

BATCH = 100


async def tell(session: AsyncSession, obligation_id: UUID, now: datetime) -> None:
    """Says that it is overdue, unless it was met meanwhile, or somebody else has said so."""
    today = await today_of(session, now)
    if overdue := await store.take_overdue(session, obligation_id, today):
        await record(session, overdue, obligation_id, now)


async def tell_of_overdue(app: FastAPI) -> None:
    """Tells of every obligation that is overdue, each in a transaction of its own."""
    database: Database = app.state.database
    now: datetime = app.state.clock()
    while True:
        async with database.worker() as session:
            found = await store.untold(session, now, BATCH)
        for workspace_id, obligation_id in found:
            async with database.tenant(workspace_id) as session:
                await tell(session, obligation_id, now)
        if len(found) < BATCH:
            return


TELL_OF_OVERDUE = Job("tell_of_overdue_obligations", timedelta(minutes=1), tell_of_overdue)
