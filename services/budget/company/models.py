"""Decides what a figure of the company is made of: its row, and what callers send and get."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from pydantic import Field as Described
from sqlalchemy import BigInteger, CheckConstraint, Index, UniqueConstraint
from sqlmodel import Field

from chassis.db import enum_column, instant_column
from chassis.editing import Editable, Patch
from chassis.fields import DecimalText, Input, Interval, Money, Name, Readable, UtcDatetime, Version
from services.budget.company.rules import FigureKind
from services.budget.db import Table


class CompanyFigure(Table, Editable, table=True):
    """`period` is kept as its two days; half-open."""

    __tablename__ = "company_figure"
    __table_args__ = (
        UniqueConstraint("workspace_id", "name"),
        CheckConstraint("period_end > period_start", name="period"),
        CheckConstraint("minor > 0", name="minor"),
        *(Index(None, "workspace_id", each, "id") for each in ("name", "kind", "period_start", "created_at")),
    )

    name: str
    kind: FigureKind = Field(sa_column=enum_column(FigureKind, "kind"))
    period_start: date
    period_end: date
    currency: str
    minor: int = Field(sa_type=BigInteger)
    created_by: str
    created_at: datetime = Field(sa_column=instant_column("created_at"))

    @property
    def period(self) -> Interval:
        return Interval.of(self.period_start, self.period_end)

    @property
    def amount(self) -> Money:
        return Money.of_minor(self.minor, self.currency)


class CompanyFigureCreate(Input):
    """What the company has, or plans, in all."""

    name: Name = Field(description="One figure's alone.", schema_extra={"examples": ["Revenue 2026, as planned"]})
    kind: FigureKind
    period: Interval
    amount: Money = Field(description="More than zero.")

    def columns(self) -> dict[str, Any]:
        """As the row has it."""
        return {
            "name": self.name, "kind": self.kind, "period_start": self.period.start, "period_end": self.period.end,
            "currency": self.amount.currency, "minor": self.amount.minor,
        }  # fmt: skip


class CompanyFigurePatch(Patch, of=CompanyFigureCreate, without={"kind", "period"}):
    """What may change of it."""


class CompanyShare(Readable):
    """All lines whose period lies within a figure's, in its currency at today's rates."""

    IDENTITY = "planned"
    planned: Money
    actual: Money
    planned_percent: DecimalText = Described(description="Of the figure.")
    actual_percent: DecimalText


class CompanyFigureRead(Readable):
    """A figure of the company, and what marketing's money is of it."""

    id: UUID
    name: str
    kind: FigureKind
    period: Interval
    amount: Money
    share: CompanyShare | None = Described(description="Null where a rate is missing.")
    created_by: str
    created_at: UtcDatetime
    version: Version
