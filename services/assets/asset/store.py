"""Decides how assets are read and written."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import and_, col

from chassis.db import get_row
from chassis.reading import Source
from services.assets.asset.models import Asset, AssetCampaign


async def add_asset(session: AsyncSession, asset: Asset, campaign_ids: Sequence[UUID]) -> None:
    session.add(asset)
    await session.flush()
    for campaign_id in dict.fromkeys(campaign_ids):
        session.add(AssetCampaign(workspace_id=asset.workspace_id, asset_id=asset.id, campaign_id=campaign_id))
    await session.flush()


async def get_asset(session: AsyncSession, asset_id: UUID) -> Asset:
    return await get_row(session, Asset, asset_id)


_CAMPAIGNS_OF = text("SELECT asset_id, campaign_id FROM asset_campaign WHERE asset_id = ANY(:ids) ORDER BY id")


async def campaigns_of(source: Source, asset_ids: Sequence[UUID]) -> dict[UUID, list[UUID]]:
    """Campaigns of many assets, in one query; each asset's in the order they were named."""
    found: dict[UUID, list[UUID]] = {asset_id: [] for asset_id in asset_ids}
    for asset_id, campaign_id in (await source.execute(_CAMPAIGNS_OF, {"ids": list(asset_ids)})).all():
        found[asset_id].append(campaign_id)
    return found


CAMPAIGN_LINK = and_(
    col(AssetCampaign.workspace_id) == col(Asset.workspace_id), col(AssetCampaign.asset_id) == col(Asset.id)
)
