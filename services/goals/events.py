"""Decides what goals tells others, and what it does when it hears of something."""

from collections.abc import Mapping
from typing import ClassVar
from uuid import UUID

from chassis.outbox import Event, Handler


class CampaignCreated(Event):
    """A campaign exists; its slug is what e-mail events are tagged with."""

    type: ClassVar[str] = "goals.campaign.created"
    campaign_id: UUID
    slug: str
    name: str


PUBLISHES: tuple[type[Event], ...] = (CampaignCreated,)
CONSUMES: Mapping[str, Handler] = {}
