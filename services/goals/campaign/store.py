"""Decides how campaigns are read and written."""

from collections.abc import Sequence
from datetime import date, datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import get_row, workspace_of, zone_of
from chassis.reading import Source
from services.goals.campaign.models import Campaign, Confirmation, ConfirmationRead
from services.goals.campaign.rules import ACT_ON_CANCELLATION, CampaignState


async def add_campaign(session: AsyncSession, campaign: Campaign) -> None:
    session.add(campaign)
    await session.flush()


async def get_campaign(session: AsyncSession, campaign_id: UUID, *, lock: bool = False) -> Campaign:
    return await get_row(session, Campaign, campaign_id, lock=lock)


async def today_of(session: AsyncSession, now: datetime) -> date:
    """The workspace's own day."""
    return now.astimezone(ZoneInfo(await zone_of(session))).date()


async def confirm(session: AsyncSession, campaign_id: UUID, part: str, effects: int, now: datetime) -> None:
    """Notes that a part has acted on a cancellation; said again, the first time stands."""
    row = {"workspace_id": workspace_of(session), "campaign_id": campaign_id, "part": part}
    await session.execute(
        insert(Confirmation).values(**row, effects=effects, confirmed_at=now).on_conflict_do_nothing()
    )


_CONFIRMATIONS_OF = text("""
    SELECT campaign_id, part, effects, confirmed_at FROM campaign_confirmation WHERE campaign_id = ANY(:ids)
""")


async def confirmations_of(source: Source, campaigns: Sequence[Campaign]) -> dict[UUID, list[ConfirmationRead]]:
    """Of each cancelled campaign, every part that acts on it and what it confirmed; asks only where one is."""
    found: dict[UUID, list[ConfirmationRead]] = {campaign.id: [] for campaign in campaigns}
    cancelled = [campaign.id for campaign in campaigns if campaign.state is CampaignState.CANCELLED]
    if cancelled:
        rows = (await source.execute(_CONFIRMATIONS_OF, {"ids": cancelled})).all()
        done = {(row.campaign_id, row.part): (row.effects, row.confirmed_at) for row in rows}
        for campaign_id in cancelled:
            for part in ACT_ON_CANCELLATION:
                effects, confirmed_at = done.get((campaign_id, part), (None, None))
                found[campaign_id].append(ConfirmationRead(part=part, effects=effects, confirmed_at=confirmed_at))
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
