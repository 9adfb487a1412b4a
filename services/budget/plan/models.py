"""Decides what a budget line is made of: its row, and what callers send and get."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index
from sqlmodel import Field

from chassis.db import enum_column, instant_column
from chassis.editing import Editable, Patch
from chassis.fields import Currency, Input, Interval, Name, Readable, Slug, UtcDatetime, Version
from services.budget.db import Table
from services.budget.plan.rules import Frame, LinePolicy


class Line(Table, Editable, table=True):
    """`period` is kept as its two days; half-open. Its money is in the ledger."""

    __table_args__ = (
        ForeignKeyConstraint(["workspace_id", "parent_id"], ["line.workspace_id", "line.id"]),
        CheckConstraint("period_end > period_start", name="period"),
        # Lists are by id within a filter, and groups by id within a campaign.
        Index(None, "workspace_id", "campaign_id", "id"),
        Index(None, "workspace_id", "department", "id"),
        Index(None, "workspace_id", "parent_id", "id"),
        *(Index(None, "workspace_id", each, "id") for each in ("name", "channel", "period_start", "created_at")),
    )

    name: str
    department: str
    channel: str | None = None
    # Another service's key, and no more: whether there is such a campaign isn't asked.
    campaign_id: UUID | None
    parent_id: UUID | None
    period_start: date
    period_end: date
    currency: str
    policy: LinePolicy = Field(sa_column=enum_column(LinePolicy, "policy"))
    created_at: datetime = Field(sa_column=instant_column("created_at"))
    low_percent: int = Field(10, sa_column_kwargs={"server_default": "10"})

    @property
    def period(self) -> Interval:
        return Interval.of(self.period_start, self.period_end)

    @property
    def frame(self) -> Frame:
        return Frame(self.currency, self.period_start, self.period_end)


class LineCreate(Input):
    """A new budget line, with nothing allotted to it yet."""

    name: Name = Field(schema_extra={"examples": ["E-mail, spring"]})
    department: Name = Field(schema_extra={"examples": ["demand generation"]})
    channel: Slug | None = Field(
        None, description="The channel that it is for, as campaigns call theirs.", schema_extra={"examples": ["email"]}
    )
    campaign_id: UUID | None = Field(None, description="The campaign that it pays for; counts in its position.")
    parent_id: UUID | None = Field(
        None,
        description="A line of the same currency whose period holds this one's. What is allotted here comes out of it.",
    )
    period: Interval
    currency: Currency
    policy: LinePolicy = Field(
        description="What happens when more is asked than is available: `stop` refuses, `warn` says so and goes on."
    )
    low_percent: int = Field(
        10, ge=0, le=100, description="`budget.line.low` is told when less than this share is available; 0: never."
    )

    def columns(self) -> dict[str, Any]:
        """As the row has it."""
        period = {"period_start": self.period.start, "period_end": self.period.end}
        return self.model_dump(exclude={"period"}) | period


class LinePatch(Patch, of=LineCreate, without={"parent_id", "currency"}):
    """What may change of a line: neither its currency, in which its entries are, nor its place in the tree."""


class LineRead(Readable):
    """A budget line: money set aside for a department, perhaps for a campaign, over a period."""

    id: UUID
    name: str
    department: str
    channel: str | None
    campaign_id: UUID | None
    parent_id: UUID | None
    period: Interval
    currency: str
    policy: LinePolicy
    low_percent: int
    version: Version
    created_at: UtcDatetime
