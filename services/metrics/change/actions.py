"""Decides that what was noted is told soon after the news before it was delivered."""

import logging
from datetime import timedelta

from fastapi import FastAPI

from chassis.db import Database
from chassis.jobs import Job
from services.metrics.change.store import tell_change, untold_workspaces

log = logging.getLogger("mops.changes")


async def tell_changes(app: FastAPI) -> None:
    """Every workspace's noted changes, each in a transaction of its own: one that fails waits for the next run."""
    database: Database = app.state.database
    async with database.worker() as session:
        waiting = await untold_workspaces(session)
    for workspace_id in waiting:
        try:
            async with database.tenant(workspace_id) as session:
                await tell_change(session, app.state.clock())
        except Exception:  # whatever is wrong with one workspace, the others are told
            log.exception("change_untold", extra={"workspace_id": str(workspace_id)})


TELL_CHANGES = Job("tell_changes", timedelta(seconds=5), tell_changes, after_events=True)
