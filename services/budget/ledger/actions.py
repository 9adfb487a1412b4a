"""Decides what happens to the money when a campaign is cancelled: nothing stays reserved for it."""

from typing import ClassVar
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.inbox import Incoming
from chassis.outbox import Event, record
from services.budget.ledger import store
from services.budget.ledger.rules import Amounts, EntryKind


class CampaignReleased(Event):
    """Budget has let go of what it held for a cancelled campaign: `effects` lines had something reserved."""

    type: ClassVar[str] = "budget.campaign.released"
    campaign_id: UUID
    effects: int


class CampaignCancelled(BaseModel):
    """What budget needs to know of goals.campaign.cancelled."""

    campaign_id: UUID
    reason: str


async def release_campaign(session: AsyncSession, event: Incoming) -> None:
    """Releases what is reserved on the campaign's lines, and tells goals that it is done."""
    cancelled = CampaignCancelled.model_validate(event.data)
    released = 0
    for line_id in await store.lines_of(session, cancelled.campaign_id):
        balance = await store.lock_balance(session, line_id)
        if balance.reserved:
            back = Amounts(reserved=-balance.reserved)
            await store.post(session, balance, EntryKind.RELEASE, back, "system:budget", event.time, cancelled.reason)
            released += 1
    done = CampaignReleased(campaign_id=cancelled.campaign_id, effects=released)
    await record(session, done, cancelled.campaign_id, event.time)
