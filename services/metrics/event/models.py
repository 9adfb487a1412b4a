"""Decides what an event is made of: its row, and what callers get."""

from datetime import datetime
from uuid import UUID

from pydantic import Field
from sqlalchemy import ARRAY, Column, Index, Text, text
from sqlmodel import Field as Kept

from chassis.db import enum_column, instant_column
from chassis.fields import Input, Readable, UtcDatetime
from services.metrics.db import Table
from services.metrics.event.rules import EventType, EventVerdict


class Event(Table, table=True):
    """What happened to one message. The id is its identity, the same on every retry, and begins with its time: see
    `rules.event_id`. The table is partitioned by it, a month to each. No foreign keys: what a row names is looked up
    or made in the statement that stores it and stays, and four look-ups for each row would cost more than the row."""

    __tablename__ = "occurrence"
    __table_args__ = (
        Index(None, "workspace_id", "campaign_id", "id"),
        Index(None, "workspace_id", "source_id", "id"),
        # The events that a new campaign takes over.
        Index(
            "occurrence_unmapped_idx", "workspace_id", "tag_set_id",
            postgresql_where=text("campaign_id IS NULL AND tag_set_id IS NOT NULL"),
        ),
        # What one recipient did around a time: clicks of a person and of a scanner look otherwise together.
        Index(
            "occurrence_recipient_idx", "workspace_id", "recipient_id", "id",
            postgresql_where=text("type IN ('clicked', 'unsubscribed')"),
        ),
        {"postgresql_partition_by": "RANGE (id)"},
    )  # fmt: skip

    source_id: UUID
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


class Judgement(Input):
    """Who acted, by somebody who knows better."""

    verdict: EventVerdict
