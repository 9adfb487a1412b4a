"""Decides that what was noted is told soon after the news before it was delivered."""

from datetime import timedelta

from fastapi import FastAPI

from chassis.db import Database
from chassis.jobs import Job
from services.metrics.change.store import tell_change, untold_workspaces


async def tell_changes(app: FastAPI) -> None:
    """Every workspace's noted changes, each in a transaction of its own."""
    database: Database = app.state.database
    async with database.worker() as session:
        waiting = await untold_workspaces(session)
    for workspace_id in waiting:
        async with database.tenant(workspace_id) as session:
            await tell_change(session, app.state.clock())


TELL_CHANGES = Job("tell_changes", timedelta(seconds=5), tell_changes, after_events=True)
