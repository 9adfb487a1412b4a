"""Decides who may change a workspace's numbers while others store events, and for how long."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import workspace_of

LOCK_TIMEOUT = "10s"
# What a rebuild of all may take, where a request's statements have half a minute.
REBUILD_TIMEOUT = "15min"


async def seize_numbers(session: AsyncSession) -> str:
    """Waits for all writers of this workspace's events, and holds new ones back; answers the zone.

    Writers share the lock with each other (event/store.py takes it as it begins); whoever remaps or rebuilds holds it
    alone, so that each event is counted by exactly one of the two, under the mapping that holds afterwards.
    """
    # A writer that waits longer gives its connection back, and the platform sends again.
    await session.execute(text("SELECT set_config('lock_timeout', :most, true)"), {"most": LOCK_TIMEOUT})
    await session.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"), {"key": f"numbers:{workspace_of(session)}"}
    )
    # A statement of its own: what committed while this one waited for the lock is seen.
    zone = await session.scalar(
        text("SELECT zone FROM workspace WHERE workspace_id = :id"), {"id": workspace_of(session)}
    )
    return str(zone)


async def share_numbers(session: AsyncSession) -> str:
    """Keeps whoever remaps or rebuilds out until this transaction ends, and writers not; answers the zone."""
    await session.execute(text("SELECT set_config('lock_timeout', :most, true)"), {"most": LOCK_TIMEOUT})
    await session.execute(
        text("SELECT pg_advisory_xact_lock_shared(hashtextextended(:key, 0))"),
        {"key": f"numbers:{workspace_of(session)}"},
    )
    zone = await session.scalar(
        text("SELECT zone FROM workspace WHERE workspace_id = :id"), {"id": workspace_of(session)}
    )
    return str(zone)


async def allow_time(session: AsyncSession) -> None:
    """Lets the statements of this transaction take as long as a rebuild may."""
    await session.execute(text("SELECT set_config('statement_timeout', :most, true)"), {"most": REBUILD_TIMEOUT})
