"""Decides how assets are read and written."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import and_, col, select
from sqlmodel.sql.expression import SelectOfScalar

from chassis.db import get_row, workspace_of
from chassis.paging import filtered
from services.assets.asset.models import Asset, AssetCampaign
from services.assets.asset.rules import AssetKind


async def add_asset(session: AsyncSession, asset: Asset, campaign_ids: Sequence[UUID]) -> None:
    session.add(asset)
    await session.flush()
    for campaign_id in dict.fromkeys(campaign_ids):
        session.add(AssetCampaign(workspace_id=asset.workspace_id, asset_id=asset.id, campaign_id=campaign_id))
    await session.flush()


async def get_asset(session: AsyncSession, asset_id: UUID) -> Asset:
    return await get_row(session, Asset, asset_id)


async def campaigns_of(session: AsyncSession, asset_ids: Sequence[UUID]) -> dict[UUID, list[UUID]]:
    """Campaigns of many assets, in one query; each asset's in the order they were named."""
    statement = select(AssetCampaign).where(
        col(AssetCampaign.workspace_id) == workspace_of(session), col(AssetCampaign.asset_id).in_(set(asset_ids))
    )
    found: dict[UUID, list[UUID]] = {asset_id: [] for asset_id in asset_ids}
    for link in await session.scalars(statement.order_by(col(AssetCampaign.id))):
        found[link.asset_id].append(link.campaign_id)
    return found


def select_assets(ids: Sequence[UUID], kinds: Sequence[AssetKind]) -> SelectOfScalar[Asset]:
    """Assets that fit every filter given."""
    return filtered(Asset, id=ids, kind=kinds)


CAMPAIGN_LINK = and_(
    col(AssetCampaign.workspace_id) == col(Asset.workspace_id), col(AssetCampaign.asset_id) == col(Asset.id)
)
