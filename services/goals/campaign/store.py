"""Decides how campaigns are read and written."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel.sql.expression import SelectOfScalar

from chassis.db import get_row
from chassis.paging import filtered
from services.goals.campaign.models import Campaign
from services.goals.campaign.rules import CampaignState


async def add_campaign(session: AsyncSession, campaign: Campaign) -> None:
    session.add(campaign)
    await session.flush()


async def get_campaign(session: AsyncSession, campaign_id: UUID) -> Campaign:
    return await get_row(session, Campaign, campaign_id)


def select_campaigns(
    ids: Sequence[UUID], slugs: Sequence[str], states: Sequence[CampaignState]
) -> SelectOfScalar[Campaign]:
    """Campaigns that fit every filter given."""
    return filtered(Campaign, id=ids, slug=slugs, state=states)
