"""Decides how assets are read and written."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import and_, col, select

from chassis.answers import Derive, by_id, of_row
from chassis.db import get_row
from chassis.reading import Source
from services.assets.asset.models import Asset, AssetCampaign, AssetStep
from services.assets.asset.rules import AssetAction, AssetState
from services.assets.version.rules import content_path

MOST_DUPLICATES = 20


async def add_asset(session: AsyncSession, asset: Asset, campaign_ids: Sequence[UUID]) -> None:
    session.add(asset)
    await session.flush()
    for campaign_id in dict.fromkeys(campaign_ids):
        session.add(AssetCampaign(workspace_id=asset.workspace_id, asset_id=asset.id, campaign_id=campaign_id))
    await session.flush()


async def set_campaigns(session: AsyncSession, asset: Asset, campaign_ids: Sequence[UUID]) -> None:
    """Makes these its campaigns, in this order."""
    statement = select(AssetCampaign).where(
        col(AssetCampaign.workspace_id) == asset.workspace_id, col(AssetCampaign.asset_id) == asset.id
    )
    for link in await session.scalars(statement):
        await session.delete(link)
    await session.flush()
    for campaign_id in campaign_ids:
        session.add(AssetCampaign(workspace_id=asset.workspace_id, asset_id=asset.id, campaign_id=campaign_id))
    await session.flush()


async def get_asset(session: AsyncSession, asset_id: UUID, *, lock: bool = False) -> Asset:
    return await get_row(session, Asset, asset_id, lock=lock)


async def add_step(
    session: AsyncSession, asset: Asset, action: AssetAction, before: AssetState, who: str, now: datetime, reason: str
) -> None:
    """Writes down the step by which the asset came to be in its state."""
    step = AssetStep(
        workspace_id=asset.workspace_id, asset_id=asset.id, action=action, from_state=before, to_state=asset.state,
        version_number=asset.current_version, reason=reason, taken_by=who, taken_at=now,
    )  # fmt: skip
    session.add(step)
    await session.flush()


_CAMPAIGNS_OF = text("SELECT asset_id, campaign_id FROM asset_campaign WHERE asset_id = ANY(:ids) ORDER BY id")


async def campaigns_of(source: Source, asset_ids: Sequence[UUID]) -> dict[UUID, list[UUID]]:
    """Campaigns of many assets, in one query; each asset's in the order they were named."""
    found: dict[UUID, list[UUID]] = {asset_id: [] for asset_id in asset_ids}
    for asset_id, campaign_id in (await source.execute(_CAMPAIGNS_OF, {"ids": list(asset_ids)})).all():
        found[asset_id].append(campaign_id)
    return found


def derived(base_url: str) -> dict[str, Derive]:
    """What of an asset as callers get it isn't on its row."""
    return {
        "campaign_ids": by_id(campaigns_of),
        "content_url": of_row(lambda asset: base_url + content_path(asset.id, asset.current_version)),
        # Rows from before there were versions say neither.
        "uploaded_by": of_row(lambda asset: asset.uploader),
        "uploaded_at": of_row(lambda asset: asset.uploaded_at or asset.created_at),
    }


async def duplicates_of(session: AsyncSession, asset: Asset) -> list[UUID]:
    """Other assets of the workspace whose current bytes are the same, the oldest first."""
    statement = (
        select(Asset.id)
        .where(
            col(Asset.workspace_id) == asset.workspace_id, col(Asset.sha256) == asset.sha256, col(Asset.id) != asset.id
        )
        .order_by(col(Asset.id))
    )
    return list(await session.scalars(statement.limit(MOST_DUPLICATES)))


CAMPAIGN_LINK = and_(
    col(AssetCampaign.workspace_id) == col(Asset.workspace_id), col(AssetCampaign.asset_id) == col(Asset.id)
)
