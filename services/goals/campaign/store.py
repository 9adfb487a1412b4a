"""Decides how campaigns are read and written."""

from collections.abc import Sequence
from datetime import date, datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select
from sqlmodel.sql.expression import SelectOfScalar

from chassis.db import get_row, workspace_of, zone_of
from chassis.paging import filtered
from services.goals.campaign.models import Campaign, Confirmation
from services.goals.campaign.rules import CampaignState


async def add_campaign(session: AsyncSession, campaign: Campaign) -> None:
    session.add(campaign)
    await session.flush()


async def get_campaign(session: AsyncSession, campaign_id: UUID, *, lock: bool = False) -> Campaign:
    return await get_row(session, Campaign, campaign_id, lock=lock)


def select_campaigns(
    ids: Sequence[UUID], slugs: Sequence[str], states: Sequence[CampaignState], owners: Sequence[str]
) -> SelectOfScalar[Campaign]:
    """Campaigns that fit every filter given."""
    return filtered(Campaign, id=ids, slug=slugs, state=states, owner=owners)


async def today_of(session: AsyncSession, now: datetime) -> date:
    """The workspace's own day."""
    return now.astimezone(ZoneInfo(await zone_of(session))).date()


async def confirm(session: AsyncSession, campaign_id: UUID, part: str, effects: int, now: datetime) -> None:
    """Notes that a part has acted on a cancellation; said again, the first time stands."""
    row = {"workspace_id": workspace_of(session), "campaign_id": campaign_id, "part": part}
    await session.execute(
        insert(Confirmation).values(**row, effects=effects, confirmed_at=now).on_conflict_do_nothing()
    )


async def confirmations_of(session: AsyncSession, campaigns: Sequence[Campaign]) -> dict[UUID, list[Confirmation]]:
    """What was confirmed of each campaign; asks only where one is cancelled."""
    found: dict[UUID, list[Confirmation]] = {campaign.id: [] for campaign in campaigns}
    cancelled = [campaign.id for campaign in campaigns if campaign.state is CampaignState.CANCELLED]
    if cancelled:
        rows = await session.scalars(select(Confirmation).where(col(Confirmation.campaign_id).in_(cancelled)))
        for row in rows.all():
            found[row.campaign_id].append(row)
    return found


async def due_campaigns(session: AsyncSession, now: datetime, most: int) -> list[tuple[UUID, UUID]]:
    """Workspace and id of campaigns that their dates move by now, each in its workspace's own day (worker
    transaction). No zone is ahead of UTC by more than 14 hours: that bound is what the indexes are for."""
    rows = await session.execute(_DUE, {"now": now, "most": most})
    return [(row.workspace_id, row.id) for row in rows.all()]


_DUE = text("""
    SELECT workspace_id, id FROM campaign JOIN workspace USING (workspace_id)
    WHERE state = 'approved' AND flight_start <= cast(:now AT TIME ZONE 'UTC' + interval '14 hours' AS date)
        AND flight_start <= cast(:now AT TIME ZONE zone AS date)
    UNION ALL
    SELECT workspace_id, id FROM campaign JOIN workspace USING (workspace_id)
    WHERE state IN ('live', 'paused') AND flight_end <= cast(:now AT TIME ZONE 'UTC' + interval '14 hours' AS date)
        AND flight_end <= cast(:now AT TIME ZONE zone AS date)
    LIMIT :most
""")
