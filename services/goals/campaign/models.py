"""Decides what a campaign is made of: its row, and what callers send and get."""

from datetime import date, datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field as Described
from sqlalchemy import ARRAY, CheckConstraint, Column, Text, UniqueConstraint
from sqlmodel import Field

from chassis.db import Enums, enum_column, instant_column
from chassis.fields import Input, Interval, Name, Readable, Slug, Territory, UtcDatetime, Words
from services.goals.campaign.rules import CampaignState, Channel
from services.goals.db import Table


class Campaign(Table, table=True):
    """`flight` is kept as its two days; half-open."""

    __table_args__ = (
        UniqueConstraint("workspace_id", "slug"),
        CheckConstraint("flight_end > flight_start", name="flight"),
    )

    name: str
    slug: str
    brief: str
    owner: str
    flight_start: date
    flight_end: date
    channels: list[Channel] = Field(sa_column=Column("channels", Enums(Channel), nullable=False))
    territories: list[str] = Field(sa_column=Column("territories", ARRAY(Text), nullable=False))
    state: CampaignState = Field(sa_column=enum_column(CampaignState, "state"))
    created_at: datetime = Field(sa_column=instant_column("created_at"))

    @property
    def flight(self) -> Interval:
        return Interval.of(self.flight_start, self.flight_end)


class CampaignCreate(Input):
    """A new campaign. Its slug can't change later: it is the UTM campaign name, and e-mail events are matched by it."""

    name: Name = Field(schema_extra={"examples": ["Spring launch"]})
    slug: Slug
    brief: Words = Field("", description="What it is for, in words.")
    flight: Interval
    channels: Annotated[list[Channel], Described(min_length=1, max_length=20)]
    territories: Annotated[list[Territory], Described(max_length=250, description="ISO 3166 codes; empty: all.")] = []
    owner: Name | None = Field(None, description="Who answers for it; default: who creates it.")


class CampaignRead(Readable):
    """A campaign: the hub that goals, lines, assets and events refer to."""

    id: UUID
    name: str
    slug: str
    brief: str
    owner: str
    flight: Interval
    channels: list[Channel]
    territories: list[str]
    goal_ids: list[UUID] = Described(description="The goals that are measured over it.")
    state: CampaignState
    created_at: UtcDatetime
