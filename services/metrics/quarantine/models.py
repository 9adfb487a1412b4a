"""Decides what is kept of what was authentic but can't be read."""

from datetime import datetime
from uuid import UUID

from pydantic import Field
from sqlalchemy import Column, ForeignKeyConstraint, Index, LargeBinary, UniqueConstraint
from sqlmodel import Field as Kept

from chassis.db import instant_column
from chassis.fields import Readable, UtcDatetime
from services.metrics.db import Table


class Quarantined(Table, table=True):
    """The exact bytes and why they can't be read. The same bytes are kept once, however often they are sent."""

    __tablename__ = "quarantine"
    __table_args__ = (
        UniqueConstraint("workspace_id", "source_id", "digest"),
        ForeignKeyConstraint(["workspace_id", "source_id"], ["metrics.source.workspace_id", "metrics.source.id"]),
        *(Index(None, "workspace_id", each, "id") for each in ("received_at",)),
    )

    source_id: UUID
    digest: bytes = Kept(sa_column=Column("digest", LargeBinary, nullable=False))
    reason: str
    payload: bytes = Kept(sa_column=Column("payload", LargeBinary, nullable=False))
    excerpt: str
    received_at: datetime = Kept(sa_column=instant_column("received_at"))


class QuarantinedRead(Readable):
    """A part of a post that was authentic but can't be read; it counts in no number."""

    id: UUID
    source_id: UUID
    reason: str = Field(description="Begins with the field where one is to blame.")
    excerpt: str = Field(description="The first 2,000 characters as they were sent.")
    received_at: UtcDatetime
