"""Decides what is kept of who isn't written to any more, and what callers send and get."""

from datetime import datetime
from uuid import UUID

from pydantic import Field as Described
from sqlalchemy import Column, Index, LargeBinary, UniqueConstraint
from sqlmodel import Field

from chassis.db import enum_column, instant_column
from chassis.editing import Editable
from chassis.fields import Input, Readable, UtcDatetime, Version
from services.metrics.db import Table
from services.metrics.recipient.models import Address
from services.metrics.suppression.rules import Known, SuppressionReason, SuppressionState


class Suppression(Table, Editable, table=True):
    """One reason not to write to one address, which is known by its keyed hash alone: it outlives the address."""

    __table_args__ = (
        UniqueConstraint("workspace_id", "address_hash", "reason"),
        *(Index(None, "workspace_id", each, "id") for each in ("reason", "state", "source_id", "since")),
    )

    address_hash: bytes = Field(sa_column=Column("address_hash", LargeBinary, nullable=False))
    reason: SuppressionReason = Field(sa_column=enum_column(SuppressionReason, "reason"))
    state: SuppressionState = Field(sa_column=enum_column(SuppressionState, "state"))
    source_id: UUID | None
    event_id: UUID | None
    since: datetime = Field(sa_column=instant_column("since"))
    asked_at: datetime | None = Field(None, sa_column=instant_column("asked_at", nullable=True))
    held_at: datetime | None = Field(None, sa_column=instant_column("held_at", nullable=True))
    lifted_at: datetime | None = Field(None, sa_column=instant_column("lifted_at", nullable=True))

    @property
    def known(self) -> Known:
        return Known(self.asked_at, self.held_at, self.lifted_at, self.event_id, self.source_id)


class SuppressionCreate(Input):
    """Somebody not to write to."""

    address: Address


class SuppressionRead(Readable):
    """One reason not to write to one address."""

    id: UUID
    address: str | None = Described(
        description="In lower case; null without the scope `metrics:people`, and once the person's data is erased.",
        examples=["ann@example.com"],
    )
    reason: SuppressionReason
    state: SuppressionState = Described(
        description="`held`: a machine unsubscribed it, such as a company's link scanner; confirm or lift it. Whoever "
        "writes to people leaves out `active` and `held` ones alike until then."
    )
    source_id: UUID | None
    event_id: UUID | None = Described(description="The event that said so.")
    since: UtcDatetime = Described(description="When it became what it is.")
    version: Version
