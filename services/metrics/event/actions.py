"""Decides what follows when an event is judged anew, and which months there are to store events in."""

from datetime import datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import Database, get_row
from chassis.jobs import Job
from services.metrics.change.models import Change
from services.metrics.change.store import note_change
from services.metrics.event.models import Event
from services.metrics.event.rules import BY_HAND, EventVerdict, kept_since, month
from services.metrics.event.store import drop_months, keep_months, note_unjudged
from services.metrics.rollup.actions import count_events
from services.metrics.rollup.holding import seize_numbers
from services.metrics.rollup.rules import Cell
from services.metrics.rollup.store import rebuild

AHEAD = 2
# A post that was read under an older clock is stored by then.
GRACE = timedelta(days=2)


async def revise_verdict(session: AsyncSession, event_id: UUID, verdict: EventVerdict, now: datetime) -> Event:
    """Gives an event the verdict of a person, and makes the numbers of its day anew."""
    zone = await seize_numbers(session)
    event = await get_row(session, Event, event_id)
    if event.verdict is not verdict:
        event.verdict, event.reasons = verdict, [BY_HAND]
        await session.flush()
        day = event.occurred_at.astimezone(ZoneInfo(zone)).date()
        await rebuild(session, [Cell(event.source_id, event.campaign_id, day)])
        await note_change(session, Change.over([(event.campaign_id, day)]), now)
        await note_unjudged(session, [event.id], now)
    elif event.reasons != [BY_HAND]:
        event.reasons = [BY_HAND]  # what was thought is known now, and no rule changes it
        await session.flush()
    return event


async def keep_months_of_events(app: FastAPI) -> None:
    """Makes the months to come; counts what waits, and then drops the months whose time is over."""
    database: Database = app.state.database
    now: datetime = app.state.clock()
    await keep_months(database, now.date(), month(now.date(), AHEAD))
    await count_events(app)
    await drop_months(database, kept_since(now - GRACE))


KEEP_MONTHS = Job("keep_months_of_events", timedelta(hours=6), keep_months_of_events)
