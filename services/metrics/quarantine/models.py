"""Decides what is kept of what was authentic but can't be read."""

from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from pydantic import BaseModel, Field, model_validator
from sqlalchemy import Column, ForeignKeyConstraint, Index, LargeBinary, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field as Kept

from chassis.db import enum_column, instant_column
from chassis.fields import Input, Readable, UtcDatetime
from services.metrics.db import Table
from services.metrics.quarantine.rules import Outcome, QuarantineState


class Quarantined(Table, table=True):
    """The exact bytes and why they can't be read. The same bytes are kept once, however often they are sent."""

    __tablename__ = "quarantine"
    __table_args__ = (
        UniqueConstraint("workspace_id", "source_id", "digest"),
        ForeignKeyConstraint(["workspace_id", "source_id"], ["metrics.source.workspace_id", "metrics.source.id"]),
        *(Index(None, "workspace_id", each, "id") for each in ("received_at", "state")),
    )

    source_id: UUID
    digest: bytes = Kept(sa_column=Column("digest", LargeBinary, nullable=False))
    reason: str
    payload: bytes = Kept(sa_column=Column("payload", LargeBinary, nullable=False))
    excerpt: str
    received_at: datetime = Kept(sa_column=instant_column("received_at"))
    headers: dict[str, str] = Kept(
        default_factory=dict, sa_column=Column("headers", JSONB, nullable=False, server_default="{}")
    )
    state: QuarantineState = Kept(
        QuarantineState.WAITING,
        sa_column=enum_column(QuarantineState, "state", server_default=QuarantineState.WAITING.value),
    )
    replayed_at: datetime | None = Kept(None, sa_column=instant_column("replayed_at", nullable=True))


class QuarantinedRead(Readable):
    """A part of a post that was authentic but can't be read; it counts in no number."""

    id: UUID
    source_id: UUID
    reason: str = Field(description="Begins with the field where one is to blame.")
    excerpt: str = Field(description="The first 2,000 characters as they were sent.")
    received_at: UtcDatetime
    state: QuarantineState = Field(description="`replayed`: it could be read in the end, and is in the numbers.")
    replayed_at: UtcDatetime | None


class ReplayAsked(Input):
    """What to read again: either by ids, or the oldest of a source."""

    ids: Annotated[list[UUID], Field(max_length=200)] = []
    source_id: UUID | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if bool(self.ids) == (self.source_id is not None):
            raise ValueError("say either ids or source_id")
        return self


class Replayed(BaseModel):
    """What became of one part."""

    id: UUID
    outcome: Outcome = Field(description="`known`: its events are there already, sent otherwise.")
    events: int = Field(description="How many events it holds.")
    stored: int = Field(description="How many of them are new.")
    reason: str | None = Field(description="Why it still can't be read.")


class Replays(BaseModel):
    """What became of each, in the order of ids; those that don't wait are left out."""

    items: list[Replayed]
    more: bool = Field(description="Whether more of what was asked for waits: ask again.")
