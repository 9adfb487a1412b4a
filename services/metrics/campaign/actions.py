"""Decides what happens when goals tells of a campaign."""

from uuid import UUID

from pydantic import BaseModel, ConfigDict
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.inbox import Incoming
from services.metrics.campaign import store
from services.metrics.change.models import Change
from services.metrics.change.store import note_change
from services.metrics.rollup.holding import allow_time, seize_numbers
from services.metrics.rollup.store import rebuild


class CampaignData(BaseModel):
    model_config = ConfigDict(extra="ignore")
    campaign_id: UUID
    slug: str
    name: str


async def learn_campaign(session: AsyncSession, event: Incoming) -> None:
    """Keeps the campaign; events that came before it, or that a later tag had given to another, count for it now."""
    campaign = CampaignData.model_validate(event.data)
    await allow_time(session)
    await seize_numbers(session)
    if not await store.put_campaign(session, campaign.campaign_id, campaign.slug, campaign.name):
        return
    cells = await store.remap(session, campaign.slug)
    if cells:
        await rebuild(session, cells)
        await note_change(session, Change.over((cell.campaign_id, cell.day) for cell in cells), event.time)
