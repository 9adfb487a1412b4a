"""Decides what a campaign is made of: its row, what callers send and get, and what is told of it elsewhere."""

from datetime import date, datetime
from typing import Annotated, Any, ClassVar
from uuid import UUID

from pydantic import BaseModel, StringConstraints
from pydantic import Field as Described
from sqlalchemy import ARRAY, CheckConstraint, Column, ForeignKeyConstraint, Index, Text, UniqueConstraint, text
from sqlmodel import Field

from chassis.db import Enums, enum_column, instant_column
from chassis.editing import Editable, Patch
from chassis.fields import Input, Interval, Name, Readable, Slug, Territory, UtcDatetime, Version, Words
from chassis.outbox import Event
from services.goals.campaign.rules import CampaignState, Channel, Flight
from services.goals.db import Link, Table


class Campaign(Table, Editable, table=True):
    """`flight` is kept as its two days; half-open."""

    __table_args__ = (
        UniqueConstraint("workspace_id", "slug"),
        CheckConstraint("flight_end > flight_start", name="flight"),
        Index(None, "workspace_id", "state", "id"),
        Index(None, "workspace_id", "owner", "id"),
        # What the dates will move next.
        Index("campaign_flight_start_due_idx", "flight_start", postgresql_where=text("state = 'approved'")),
        Index("campaign_flight_end_due_idx", "flight_end", postgresql_where=text("state IN ('live', 'paused')")),
        *(Index(None, "workspace_id", each, "id") for each in ("name", "flight_start", "flight_end", "created_at")),
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
    # Of the last change of state; none while it is the idea that it began as.
    state_at: datetime | None = Field(None, sa_column=instant_column("state_at", nullable=True))
    state_by: str | None = None
    state_reason: str | None = None
    created_at: datetime = Field(sa_column=instant_column("created_at"))

    @property
    def days(self) -> Flight:
        return Flight(self.flight_start, self.flight_end)

    @property
    def flight(self) -> Interval:
        return Interval.of(self.flight_start, self.flight_end)


class Confirmation(Link, table=True):
    """That a part has undone what hung on a cancelled campaign."""

    __tablename__ = "campaign_confirmation"
    __table_args__ = (
        ForeignKeyConstraint(["workspace_id", "campaign_id"], ["goals.campaign.workspace_id", "goals.campaign.id"]),
    )

    campaign_id: UUID = Field(primary_key=True)
    part: str = Field(primary_key=True)
    effects: int
    confirmed_at: datetime = Field(sa_column=instant_column("confirmed_at"))


class CampaignCreate(Input):
    """A new campaign. Its slug can't change later: it is the UTM campaign name, and e-mail events are matched by it."""

    name: Name = Field(schema_extra={"examples": ["Spring launch"]})
    slug: Slug
    brief: Words = Field("", description="What it is for, in words.")
    flight: Interval
    channels: Annotated[list[Channel], Described(min_length=1, max_length=20)]
    territories: Annotated[list[Territory], Described(max_length=250, description="ISO 3166 codes; empty: all.")] = []
    owner: Name | None = Field(None, description="Who answers for it; default: who creates it.")

    def columns(self, owner: str) -> dict[str, Any]:
        """As the row has it; `owner` answers for it where nobody is named."""
        days = {"flight_start": self.flight.start, "flight_end": self.flight.end}
        return self.model_dump(exclude={"flight", "owner"}) | days | {"owner": self.owner or owner}


class CampaignPatch(Patch, of=CampaignCreate, without={"slug"}):
    """What may change of a campaign that isn't over."""


Reason = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=1000),
    Described(description="Why, for those it concerns.", examples=["The product isn't ready"]),
]


class CampaignPause(Input):
    reason: Reason


class CampaignCancel(Input):
    reason: Reason


class ConfirmationRead(BaseModel):
    """What one part did about a cancellation."""

    part: str = Described(examples=["budget"])
    effects: int | None = Described(description="How many things it undid; null until it has confirmed.")
    confirmed_at: UtcDatetime | None


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
    state: CampaignState = Described(
        description="An approved campaign goes live when its flight starts, and is completed when it ends."
    )
    state_at: UtcDatetime | None = Described(description="Since when; null for an idea.")
    state_by: str | None = Described(description="Who brought it there; `system:goals` where its dates did.")
    state_reason: str | None = Described(description="Why it was paused or cancelled.")
    confirmations: list[ConfirmationRead] = Described(
        description="Once cancelled: each part that acts on it, and whether it has."
    )
    version: Version
    created_at: UtcDatetime


class CampaignCreated(Event):
    """A campaign exists; its slug is what e-mail events are tagged with."""

    type: ClassVar[str] = "goals.campaign.created"
    campaign_id: UUID
    slug: str
    name: str


class CampaignChanged(Event):
    """A campaign was edited. `flight` is set when its days moved, and with them what hangs on it."""

    type: ClassVar[str] = "goals.campaign.changed"
    campaign_id: UUID
    name: str
    flight: Interval | None


class CampaignStateChanged(Event):
    """A campaign came from one state to another, by somebody's word or by its dates."""

    type: ClassVar[str] = "goals.campaign.state_changed"
    campaign_id: UUID
    before: CampaignState
    after: CampaignState
    reason: str | None


class CampaignCancelled(Event):
    """A campaign won't be: whoever holds something for it lets go, and says so."""

    type: ClassVar[str] = "goals.campaign.cancelled"
    campaign_id: UUID
    reason: str


class CampaignWasReleased(BaseModel):
    """What goals needs to know of a part's answer to a cancellation."""

    campaign_id: UUID
    effects: int
