"""Decides how long the chassis keeps what it needs no more: the cost of a look-up must not grow with history."""

from datetime import datetime, timedelta

from fastapi import FastAPI
from sqlalchemy import text

from chassis.db import Database
from chassis.jobs import Job

KEYS_KEPT = timedelta(days=2)
TOLD_KEPT = timedelta(days=30)
# Longer than any relay could still bring an event again.
HEARD_KEPT = timedelta(days=90)
DONE_KEPT = timedelta(days=7)
GIVEN_UP_KEPT = timedelta(days=90)


async def sweep(app: FastAPI) -> None:
    """Forgets old idempotency keys, events that everybody has taken, which events came in long ago, and old jobs."""
    database: Database = app.state.database
    now: datetime = app.state.clock()
    async with database.worker() as session:
        await session.execute(text("DELETE FROM idempotency WHERE created_at < :t"), {"t": now - KEYS_KEPT})
        await session.execute(text("DELETE FROM inbox WHERE received_at < :t"), {"t": now - HEARD_KEPT})
        await session.execute(
            text("""DELETE FROM outbox o WHERE o.occurred_at < :t AND NOT EXISTS (
                        SELECT 1 FROM delivery d WHERE (d.workspace_id, d.outbox_id) = (o.workspace_id, o.id))"""),
            {"t": now - TOLD_KEPT},
        )
        await session.execute(
            text("""DELETE FROM work WHERE due_at IS NULL AND workspace_id IS NOT NULL
                    AND (state = 'done' AND finished_at < :done OR finished_at < :given_up)"""),
            {"done": now - DONE_KEPT, "given_up": now - GIVEN_UP_KEPT},
        )


SWEEP = Job("sweep", timedelta(hours=1), sweep)
