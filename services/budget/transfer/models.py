"""Decides what a transfer is made of: its row, and what callers send and get."""

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, ClassVar
from uuid import UUID

from pydantic import Field as Described
from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKeyConstraint, Index, Numeric
from sqlmodel import Field

from chassis.db import enum_column, instant_column
from chassis.editing import Editable
from chassis.fields import Input, Money, Readable, UtcDatetime, Version
from chassis.outbox import Event
from services.budget.db import Table
from services.budget.rate.models import RateText
from services.budget.transfer.rules import TransferState


class Transfer(Table, Editable, table=True):
    """`amount` is in minor units of the line that it comes from. Approved, it has the pinned rate."""

    __table_args__ = (
        ForeignKeyConstraint(["workspace_id", "from_line_id"], ["line.workspace_id", "line.id"]),
        ForeignKeyConstraint(["workspace_id", "to_line_id"], ["line.workspace_id", "line.id"]),
        CheckConstraint("from_line_id <> to_line_id", name="lines"),
        *(Index(None, "workspace_id", each, "id") for each in ("state", "from_line_id", "to_line_id", "created_at")),
    )

    from_line_id: UUID
    to_line_id: UUID
    currency: str
    amount: int = Field(sa_type=BigInteger)
    reason: str
    state: TransferState = Field(TransferState.PROPOSED, sa_column=enum_column(TransferState, "state"))
    proposed_by: str
    created_at: datetime = Field(sa_column=instant_column("created_at"))
    decided_by: str | None = None
    decided_at: datetime | None = Field(None, sa_column=instant_column("decided_at", nullable=True))
    rate: Decimal | None = Field(None, sa_column=Column("rate", Numeric, nullable=True))
    rate_on: date | None = None


class TransferCreate(Input):
    """Money that shall go from one line to another."""

    from_line_id: UUID
    to_line_id: UUID
    amount: Money = Field(description="In the currency of the line that it comes from.")
    reason: Annotated[str, Described(min_length=1, max_length=1000)] = Field(
        schema_extra={"examples": ["the fair was cancelled"]}
    )


class TransferDecided(Event):
    """Money went to another line, or won't."""

    type: ClassVar[str] = "budget.transfer.decided"
    transfer_id: UUID
    from_line_id: UUID
    to_line_id: UUID
    amount: Money
    state: TransferState


class TransferRead(Readable):
    """Money that goes, or shall go, from one line to another."""

    id: UUID
    from_line_id: UUID
    to_line_id: UUID
    amount: Money
    reason: str
    state: TransferState
    proposed_by: str
    created_at: UtcDatetime
    decided_by: str | None
    decided_at: UtcDatetime | None
    rate: RateText | None = Described(description="Between the lines' currencies, pinned when it was approved.")
    rate_on: date | None
    version: Version
