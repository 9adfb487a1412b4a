"""Decides what becomes of the numbers when a workspace moves to another time zone."""

from sqlalchemy.ext.asyncio import AsyncSession

from chassis.inbox import Incoming, learn_workspace
from services.metrics.change.models import Change
from services.metrics.change.store import note_change
from services.metrics.rollup.store import cells_with_numbers, rebuild, seize_numbers


async def change_workspace(session: AsyncSession, event: Incoming) -> None:
    """Keeps what changed; under another zone events fall on other days, so every number is made again."""
    zone = await seize_numbers(session)
    await learn_workspace(session, event)
    if zone != event.data["zone"]:
        cells = await cells_with_numbers(session)
        await rebuild(session)
        cells += await cells_with_numbers(session)
        await note_change(session, Change.over((cell.campaign_id, cell.day) for cell in cells), event.time)
