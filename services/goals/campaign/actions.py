"""Decides how a campaign comes from one state to the next, by somebody's word or by its dates, and who hears of it."""

from datetime import datetime, timedelta

from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import Database
from chassis.inbox import Incoming
from chassis.jobs import Job
from chassis.outbox import record
from services.goals.campaign import store
from services.goals.campaign.models import (
    Campaign,
    CampaignCancelled,
    CampaignStateChanged,
    CampaignWasReleased,
)
from services.goals.campaign.rules import CampaignState, due_state

BATCH = 100


async def bring_to(
    session: AsyncSession, campaign: Campaign, state: CampaignState, who: str, now: datetime, reason: str | None = None
) -> None:
    """Writes a state down and tells of it; the campaign is held by this transaction."""
    before, campaign.state = campaign.state, state
    campaign.state_at, campaign.state_by, campaign.state_reason = now, who, reason
    await session.flush()
    changed = CampaignStateChanged(campaign_id=campaign.id, before=before, after=state, reason=reason)
    await record(session, changed, campaign.id, now)
    if state is CampaignState.CANCELLED:
        await record(session, CampaignCancelled(campaign_id=campaign.id, reason=reason or ""), campaign.id, now)


async def follow_dates(session: AsyncSession, campaign: Campaign, who: str, now: datetime) -> bool:
    """Brings a campaign where its dates have it today; what was missed while nobody looked is done step by step. Says
    whether anything was due."""
    before, today = campaign.state, await store.today_of(session, now)
    while (state := due_state(campaign.state, campaign.days, today)) is not None:
        await bring_to(session, campaign, state, who, now)
    return campaign.state is not before


async def follow_due_dates(app: FastAPI) -> None:
    """Moves every campaign whose day has come, each in a transaction of its own."""
    database: Database = app.state.database
    now: datetime = app.state.clock()
    while True:
        async with database.worker() as session:
            due = await store.due_campaigns(session, now, BATCH)
        moved = 0
        for workspace_id, campaign_id in due:
            async with database.tenant(workspace_id) as session:
                campaign = await store.get_campaign(session, campaign_id, lock=True)
                moved += await follow_dates(session, campaign, database.actor, now)
        if len(due) < BATCH or not moved:
            return


async def hear_of_release(session: AsyncSession, event: Incoming) -> None:
    """A part has undone what hung on a cancelled campaign."""
    released = CampaignWasReleased.model_validate(event.data)
    part = event.source.removeprefix("/")
    await store.confirm(session, released.campaign_id, part, released.effects, event.time)


FOLLOW_DATES = Job("follow_campaign_dates", timedelta(minutes=1), follow_due_dates)
