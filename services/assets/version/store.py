"""Decides how versions of assets are read."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from chassis.db import workspace_of
from chassis.errors import NotFound
from services.assets.version.models import AssetVersion


async def get_version(session: AsyncSession, asset_id: UUID, number: int) -> AssetVersion:
    """One version of an asset; NotFound if either doesn't exist."""
    found = await session.scalar(
        select(AssetVersion).where(
            col(AssetVersion.workspace_id) == workspace_of(session),
            col(AssetVersion.asset_id) == asset_id,
            col(AssetVersion.number) == number,
        )
    )
    if found is None:
        raise NotFound(f"no version {number} of an asset {asset_id}")
    return found
