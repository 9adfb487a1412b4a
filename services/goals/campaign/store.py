"""Decides how campaigns are read and written."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel.sql.expression import SelectOfScalar

from chassis.db import workspace_of
from chassis.errors import NotFound
from chassis.paging import filtered
from services.goals.campaign.models import Campaign
from services.goals.campaign.rules import CampaignState


async def add_campaign(session: AsyncSession, campaign: Campaign) -> None:
    session.add(campaign)
    await session.flush()


async def get_campaign(session: AsyncSession, campaign_id: UUID) -> Campaign:
    campaign = await session.get(Campaign, (workspace_of(session), campaign_id))
    if campaign is None:
        raise NotFound(f"no campaign {campaign_id}")
    return campaign


def select_campaigns(
    ids: Sequence[UUID], slugs: Sequence[str], states: Sequence[CampaignState]
) -> SelectOfScalar[Campaign]:
    """Campaigns that fit every filter given."""
    return filtered(Campaign, id=ids, slug=slugs, state=states)
