"""Decides how assets are read and written."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, or_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import and_, col, select
from sqlmodel.sql.expression import SelectOfScalar

from chassis.db import get_row, workspace_of
from chassis.paging import filtered
from services.assets.asset.models import Asset, AssetCampaign, AssetStep
from services.assets.asset.rules import AssetAction, AssetKind, AssetState

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


async def campaigns_of(session: AsyncSession, asset_ids: Sequence[UUID]) -> dict[UUID, list[UUID]]:
    """Campaigns of many assets, in one query; each asset's in the order they were named."""
    statement = select(AssetCampaign).where(
        col(AssetCampaign.workspace_id) == workspace_of(session), col(AssetCampaign.asset_id).in_(set(asset_ids))
    )
    found: dict[UUID, list[UUID]] = {asset_id: [] for asset_id in asset_ids}
    for link in await session.scalars(statement.order_by(col(AssetCampaign.id))):
        found[link.asset_id].append(link.campaign_id)
    return found


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


def select_assets(
    ids: Sequence[UUID], kinds: Sequence[AssetKind], states: Sequence[AssetState], media_types: Sequence[str],
    sha256: Sequence[str], q: str | None, created_from: datetime | None, created_to: datetime | None,
) -> SelectOfScalar[Asset]:  # fmt: skip
    """Assets that fit every filter given. A media type may end in `/*`."""
    statement = filtered(Asset, id=ids, kind=kinds, state=states, sha256=sha256)
    if media_types:
        whole = [each for each in media_types if not each.endswith("/*")]
        families = [
            col(Asset.media_type).startswith(each[:-1], autoescape=True) for each in media_types if each[-2:] == "/*"
        ]
        statement = statement.where(or_(col(Asset.media_type).in_(whole), *families))
    if q:
        # No index serves this: under row-level security none but a leakproof operator may look before the policy has,
        # and none of text search is. It narrows what the workspace's other indexes found.
        statement = statement.where(func.lower(col(Asset.title)).contains(q.lower(), autoescape=True))
    if created_from is not None:
        statement = statement.where(col(Asset.created_at) >= created_from)
    if created_to is not None:
        statement = statement.where(col(Asset.created_at) < created_to)
    return statement


def select_steps(ids: Sequence[UUID]) -> SelectOfScalar[AssetStep]:
    return filtered(AssetStep, id=ids)


CAMPAIGN_LINK = and_(
    col(AssetCampaign.workspace_id) == col(Asset.workspace_id), col(AssetCampaign.asset_id) == col(Asset.id)
)
