"""Decides what follows when events are looked at together: verdicts, numbers, and whom not to write to."""

import logging
from datetime import timedelta
from uuid import UUID

from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import Database
from chassis.jobs import Job
from services.metrics.change.models import Change
from services.metrics.change.store import note_change
from services.metrics.judging.rules import judge_together
from services.metrics.judging.store import revise, signs_of, take_noted, unjudged_workspaces
from services.metrics.rollup.holding import share_numbers
from services.metrics.rollup.moving import move_to_machines
from services.metrics.suppression.rules import judged
from services.metrics.suppression.store import put_signs

log = logging.getLogger("mops.numbers")


async def look(session: AsyncSession) -> bool:
    """Looks at what waits beside what stands around it; whether anything did. All of it commits together."""
    noted = await take_noted(session)
    if noted is None:
        return False
    now = session.info["clock"]()
    found = judge_together(noted.acts)
    signs = [judged(sign, sign.event_id in found) for sign in noted.signs]
    if found:
        zone = await share_numbers(session)
        moved = await revise(session, found, zone)
        await move_to_machines(session, moved, zone)
        await note_change(session, Change.over((event.campaign_id, event.day) for event in moved), now)
        # Those that were looked at before, and thought a person's.
        signs += await signs_of(session, found.keys() - {sign.event_id for sign in signs})
    await put_signs(session, signs)
    return True


async def look_at(database: Database, workspace_id: UUID) -> None:
    """Everything of one workspace that waits, a transaction at a time."""
    more = True
    while more:
        async with database.tenant(workspace_id) as session:
            more = await look(session)


async def judge_events(app: FastAPI) -> None:
    """Every workspace's. One that fails waits."""
    database: Database = app.state.database
    async with database.worker() as session:
        waiting = await unjudged_workspaces(session)
    for workspace_id in waiting:
        try:
            await look_at(database, workspace_id)
        except Exception:  # whatever is wrong with one workspace, the others are judged
            log.exception("events_unjudged", extra={"workspace_id": str(workspace_id)})


JUDGE_EVENTS = Job("judge_events", timedelta(seconds=5), judge_events)
