"""Decides what is kept of telling an endpoint of an event; nothing of what the endpoint answers but its status."""

from datetime import datetime
from uuid import UUID

from pydantic import Field as Described
from sqlalchemy import BigInteger, Column, ForeignKeyConstraint, Index, text
from sqlmodel import Field

from chassis.audit import UNAUDITED
from chassis.db import enum_column, instant_column
from chassis.fields import Readable, UtcDatetime
from gateway.db import Table
from gateway.delivery.rules import DeliveryState

WAITS = text("state = 'waiting'")


class Delivery(Table, table=True):
    """An event that an endpoint is owed. While `leased_until` is to come, a process has it under way."""

    __tablename__ = "webhook_delivery"
    __table_args__ = (
        *(
            ForeignKeyConstraint(
                ["workspace_id", f"{each}_id"], [f"gateway.{each}.workspace_id", f"gateway.{each}.id"],
                ondelete="CASCADE",
            )
            for each in ("endpoint", "happening")
        ),
        Index(None, "workspace_id", "endpoint_id", "happening_id", unique=True),
        *(Index(None, "workspace_id", each, "id")
          for each in ("endpoint_id", "happening_id", "state", "type", "created_at")),
        Index(None, "workspace_id", "endpoint_id", "due_at", "position", postgresql_where=WAITS),
        Index(None, "workspace_id", "endpoint_id", "subject", "position", postgresql_where=WAITS),
        {"info": UNAUDITED},
    )  # fmt: skip

    endpoint_id: UUID
    happening_id: UUID
    type: str
    subject: str
    position: int = Field(sa_column=Column("position", BigInteger, nullable=False))
    state: DeliveryState = Field(sa_column=enum_column(DeliveryState, "state"))
    attempts: int
    due_at: datetime | None = Field(None, sa_column=instant_column("due_at", nullable=True))
    leased_until: datetime | None = Field(None, sa_column=instant_column("leased_until", nullable=True))
    last_status: int | None
    last_error: str | None
    created_at: datetime = Field(sa_column=instant_column("created_at"))
    attempted_at: datetime | None = Field(None, sa_column=instant_column("attempted_at", nullable=True))
    delivered_at: datetime | None = Field(None, sa_column=instant_column("delivered_at", nullable=True))


class DeliveryRead(Readable):
    """An event on its way to an endpoint, or what became of it. It is kept as long as the event, 30 days."""

    id: UUID
    endpoint_id: UUID
    happening_id: UUID = Described(description="The event's id, and the `webhook-id` of each post of it.")
    type: str = Described(examples=["goals.campaign.created"])
    subject: str = Described(description="The id of what it happened to.")
    state: DeliveryState
    attempts: int = Described(description="How often it was tried since it was last asked for, up to eight times.")
    due_at: UtcDatetime | None = Described(description="When it is tried next, while it waits.")
    last_status: int | None = Described(description="What was answered last; null when nothing was.")
    last_error: str | None = Described(description="Why the last attempt failed, in our words.")
    created_at: UtcDatetime
    attempted_at: UtcDatetime | None
    delivered_at: UtcDatetime | None
