"""Decides what goals tells others, and what it does when it hears of something."""

from collections.abc import Mapping
from datetime import date
from typing import ClassVar
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.inbox import Handler, Incoming
from chassis.outbox import Event
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


class GoalChanged(Event):
    """A goal was edited: read it again."""

    type: ClassVar[str] = "goals.goal.changed"
    goal_id: UUID


class GoalOverridden(Event):
    """A manager let a draft be activated though a letter fails."""

    type: ClassVar[str] = "goals.goal.overridden"
    goal_id: UUID
    letter: str


class GoalRevised(Event):
    """An active goal asks for something else from now on."""

    type: ClassVar[str] = "goals.goal.revised"
    goal_id: UUID
    target_value: float
    window_due: date


class GoalAchieved(Event):
    """The outcome of a goal: reached. It doesn't change any more."""

    type: ClassVar[str] = "goals.goal.achieved"
    goal_id: UUID
    value: float | None
    target_value: float


class GoalMissed(Event):
    """The outcome of a goal: not reached, or nothing was measured. It doesn't change any more."""

    type: ClassVar[str] = "goals.goal.missed"
    goal_id: UUID
    value: float | None
    target_value: float


class GoalCancelled(Event):
    """A goal was given up."""

    type: ClassVar[str] = "goals.goal.cancelled"
    goal_id: UUID
    reason: str


class GoalReviewed(Event):
    """Somebody said what was learned from a closed goal."""

    type: ClassVar[str] = "goals.goal.reviewed"
    goal_id: UUID
    review_id: UUID


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
    GoalChanged,
    GoalActivated,
    GoalOverridden,
    GoalRevised,
    GoalAchieved,
    GoalMissed,
    GoalCancelled,
    GoalReviewed,
)
CONSUMES: Mapping[str, Handler] = {
    "metrics.numbers.changed": hear_of_numbers,
    "budget.campaign.released": hear_of_release,
}
