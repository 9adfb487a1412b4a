"""Decides how campaigns are read and written."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import get_row
from services.goals.campaign.models import Campaign


async def add_campaign(session: AsyncSession, campaign: Campaign) -> None:
    session.add(campaign)
    await session.flush()


async def get_campaign(session: AsyncSession, campaign_id: UUID) -> Campaign:
    return await get_row(session, Campaign, campaign_id)
