"""Decides when what is kept too long goes."""

import logging
from datetime import timedelta

from fastapi import FastAPI

from chassis.db import Database
from chassis.jobs import Job
from services.metrics.retention.store import MOST, any_nameless, every_workspace, remove_nameless, remove_old
from services.metrics.rollup.holding import allow_time, seize_numbers

log = logging.getLogger("mops.people")


async def keep_no_longer(app: FastAPI) -> None:
    """Removes what is kept too long in every workspace. One that fails waits."""
    database: Database = app.state.database
    now = app.state.clock()
    async with database.worker() as session:
        workspaces = await every_workspace(session)
    for workspace_id in workspaces:
        try:
            removed = MOST
            while removed >= MOST:
                async with database.tenant(workspace_id) as session:
                    removed = await remove_old(session, now)
            async with database.tenant(workspace_id) as session:
                await allow_time(session)
                some = await any_nameless(session)
            # It takes a look at all events, which all who store some would wait for.
            if some:
                async with database.tenant(workspace_id) as session:
                    await allow_time(session)
                    await seize_numbers(session)
                    await remove_nameless(session)
        except Exception:  # the others' goes all the same
            log.exception("kept_too_long", extra={"workspace_id": str(workspace_id)})


KEEP_NO_LONGER = Job("keep_no_longer", timedelta(hours=24), keep_no_longer)
