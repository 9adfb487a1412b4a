"""Decides when numbers are made again from the events: in another time zone, and when somebody asks."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from chassis.inbox import Incoming, learn_workspace
from chassis.jobs import Deferred
from services.metrics.change.models import Change
from services.metrics.change.store import note_change
from services.metrics.rollup.store import allow_time, cells_with_numbers, differing, rebuild, seize_numbers, tallies


async def change_workspace(session: AsyncSession, event: Incoming) -> None:
    """Keeps what changed; under another zone events fall on other days, so every number is made again."""
    zone = await seize_numbers(session)
    await learn_workspace(session, event)
    if zone != event.data["zone"]:
        cells = await cells_with_numbers(session)
        await rebuild(session)
        cells += await cells_with_numbers(session)
        await note_change(session, Change.over((cell.campaign_id, cell.day) for cell in cells), event.time)


async def rebuild_numbers(session: AsyncSession, _: UUID) -> None:
    """Makes the workspace's numbers what its events say, and tells of those that weren't. Events wait meanwhile."""
    await allow_time(session)
    await seize_numbers(session)
    before = await tallies(session)
    await rebuild(session)
    cells = differing(before, await tallies(session))
    now = session.info["clock"]()
    await note_change(session, Change.over((cell.campaign_id, cell.day) for cell in cells), now)


REBUILD = Deferred("rebuild_numbers", rebuild_numbers)
