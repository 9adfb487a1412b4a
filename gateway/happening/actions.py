"""Decides how long it is remembered what happened: as long as a listener may have been away."""

from datetime import datetime, timedelta

from fastapi import FastAPI

from chassis.db import Database
from chassis.jobs import Job
from gateway.happening import store

KEPT = timedelta(days=30)


async def forget_happenings(app: FastAPI) -> None:
    database: Database = app.state.database
    now: datetime = app.state.clock()
    async with database.worker() as session:
        await store.forget(session, now - KEPT)


FORGET = Job("forget_happenings", timedelta(hours=1), forget_happenings)
