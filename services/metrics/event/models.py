"""Decides what an event is made of: its row, and what callers get."""

from datetime import datetime
from uuid import UUID

from pydantic import Field
from sqlalchemy import ARRAY, Column, Index, LargeBinary, Text, UniqueConstraint
from sqlmodel import Field as Kept

from chassis.db import enum_column, instant_column
from chassis.fields import Readable, UtcDatetime
from services.metrics.db import Table
from services.metrics.event.rules import EventType, EventVerdict


class Event(Table, table=True):
    """What happened to one message. `key` is its identity at its source: the same on every retry."""

    __table_args__ = (
        UniqueConstraint("workspace_id", "source_id", "key"),
        # No foreign keys: four look-ups for each row, of what the transaction that stores it has just found or made.
        # Lists of a campaign's or a source's events, in either order that can be asked for; and days are rebuilt from
        # the campaign's by time.
        Index(None, "workspace_id", "campaign_id", "id"),
        Index(None, "workspace_id", "campaign_id", "occurred_at"),
        Index(None, "workspace_id", "source_id", "id"),
        Index(None, "workspace_id", "source_id", "occurred_at"),
        Index(None, "workspace_id", "occurred_at"),
        # The events that a new campaign takes over.
        Index(None, "workspace_id", "tag_set_id"),
    )

    source_id: UUID
    key: bytes = Kept(sa_column=Column("key", LargeBinary, nullable=False))
    type: EventType = Kept(sa_column=enum_column(EventType, "type"))
    recipient_id: UUID | None
    message_id: str | None
    url: str | None
    tag_set_id: UUID | None
    campaign_id: UUID | None
    occurred_at: datetime = Kept(sa_column=instant_column("occurred_at"))
    received_at: datetime = Kept(sa_column=instant_column("received_at"))
    verdict: EventVerdict = Kept(sa_column=enum_column(EventVerdict, "verdict"))
    reasons: list[str] = Kept(sa_column=Column("reasons", ARRAY(Text), nullable=False))


class EventRead(Readable):
    """One thing that happened to one message."""

    id: UUID
    source_id: UUID
    type: EventType
    recipient: str | None = Field(
        description="The address, in lower case; null without the scope `metrics:people`, or where none was named.",
        examples=["ann@example.com"],
    )
    message_id: str | None = Field(description="The platform's id of the message.")
    url: str | None = Field(description="The link of a click.")
    occurred_at: UtcDatetime = Field(description="By the platform's clock: the month that it counts in.")
    received_at: UtcDatetime = Field(description="When it arrived here.")
    campaign_id: UUID | None = Field(
        description="The campaign whose slug is the first of the event's tags that is any campaign's; null: none yet."
    )
    verdict: EventVerdict = Field(description="Who acted. Raw numbers are human + bot + unknown.")
    reasons: list[str] = Field(description="Why the verdict is what it is.", examples=[["machine_open"]])
