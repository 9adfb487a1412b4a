"""Decides how much of a goal's course is kept: all of the last two days, and of each day before how it ended."""

from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from fastapi import FastAPI

from chassis.db import Database, zone_of
from chassis.jobs import Job
from services.goals.evaluation import store

KEPT_WHOLE = timedelta(days=2)


async def thin(app: FastAPI) -> None:
    """Thins every workspace's evaluations, each in a transaction of its own."""
    database: Database = app.state.database
    now: datetime = app.state.clock()
    async with database.worker() as session:
        workspaces = await store.workspaces(session)
    for workspace_id in workspaces:
        async with database.tenant(workspace_id) as session:
            zone = await zone_of(session)
            day = (now - KEPT_WHOLE).astimezone(ZoneInfo(zone)).date()
            await store.keep_last_of_days(session, datetime.combine(day, time.min, ZoneInfo(zone)), zone)


THIN = Job("thin_evaluations", timedelta(days=1), thin)
