"""Decides what goals tells others, and what it does when it hears of something."""

from collections.abc import Mapping
from typing import ClassVar
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.outbox import Event, Handler, Incoming
from services.goals.campaign.actions import hear_of_release
from services.goals.campaign.models import CampaignCancelled, CampaignChanged, CampaignCreated, CampaignStateChanged
from services.goals.goal.store import bring_forward


class GoalCreated(Event):
    """A goal was drafted."""

    type: ClassVar[str] = "goals.goal.created"
    goal_id: UUID
    campaign_ids: list[UUID]


class GoalActivated(Event):
    """A goal's target is pinned, and its progress is followed."""

    type: ClassVar[str] = "goals.goal.activated"
    goal_id: UUID
    target_value: float


class NumbersChanged(BaseModel):
    """What goals needs to know of metrics.numbers.changed."""

    campaign_ids: list[UUID]


async def hear_of_numbers(session: AsyncSession, event: Incoming) -> None:
    """Numbers moved: the goals measured by them are looked at again soon."""
    await bring_forward(session, NumbersChanged.model_validate(event.data).campaign_ids, event.time)


PUBLISHES: tuple[type[Event], ...] = (
    CampaignCreated,
    CampaignChanged,
    CampaignStateChanged,
    CampaignCancelled,
    GoalCreated,
    GoalActivated,
)
CONSUMES: Mapping[str, Handler] = {
    "metrics.numbers.changed": hear_of_numbers,
    "budget.campaign.released": hear_of_release,
}
