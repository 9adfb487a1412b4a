"""Decides what a fiscal calendar and its periods are made of: rows, and what callers send and get."""

from datetime import date, datetime
from typing import ClassVar
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, UniqueConstraint
from sqlmodel import Field

from chassis.db import enum_column, instant_column
from chassis.editing import Editable
from chassis.fields import Input, Interval, Name, Readable, UtcDatetime, Version
from chassis.outbox import Event
from services.budget.db import Table
from services.budget.fiscal.rules import Days, PeriodState, Scheme


class Calendar(Table, table=True):
    """How a company divides its years."""

    name: str
    scheme: Scheme = Field(sa_column=enum_column(Scheme, "scheme"))
    start_month: int
    created_at: datetime = Field(sa_column=instant_column("created_at"))


class Period(Table, Editable, table=True):
    """Some days of a fiscal year, open or closed."""

    __table_args__ = (
        ForeignKeyConstraint(["workspace_id", "calendar_id"], ["calendar.workspace_id", "calendar.id"]),
        UniqueConstraint("workspace_id", "calendar_id", "start"),
        CheckConstraint("finish > start", name="days"),
        *(Index(None, "workspace_id", each, "id") for each in ("calendar_id", "year", "start", "state")),
    )

    calendar_id: UUID
    name: str
    year: int
    start: date
    finish: date
    state: PeriodState = Field(PeriodState.OPEN, sa_column=enum_column(PeriodState, "state"))
    # Where the workspace was closed until before this one was: what reopening it brings back.
    closed_after: date | None = None
    changed_by: str | None = None
    changed_at: datetime | None = Field(None, sa_column=instant_column("changed_at", nullable=True))

    @property
    def days(self) -> Interval:
        return Interval.of(self.start, self.finish)

    @property
    def spans(self) -> Days:
        return Days(self.name, self.start, self.finish)


class CalendarCreate(Input):
    """How years are divided."""

    name: Name = Field(schema_extra={"examples": ["Fiscal year from February"]})
    scheme: Scheme = Field(description="By months, or by weeks: then each quarter has 13, the last may have 14.")
    start_month: int = Field(1, ge=1, le=12, description="The month in which years begin.")


class CalendarRead(Readable):
    """How a company divides its years."""

    id: UUID
    name: str
    scheme: Scheme
    start_month: int
    created_at: UtcDatetime


class YearCreate(Input):
    """A year to open."""

    year: int = Field(ge=1990, le=2190, description="The one that it begins in.", schema_extra={"examples": [2026]})


class PeriodRead(Readable):
    """Some days of a fiscal year. Nothing is booked on days of a closed one any more."""

    id: UUID
    calendar_id: UUID
    name: str
    year: int
    days: Interval
    state: PeriodState
    changed_by: str | None
    changed_at: UtcDatetime | None
    version: Version


class FiscalYear(Readable):
    """The periods of a year."""

    IDENTITY: ClassVar[str] = "year"
    year: int
    periods: list[PeriodRead]


class PeriodClosed(Event):
    """Nothing is booked any more before its end."""

    type: ClassVar[str] = "budget.period.closed"
    period_id: UUID
    name: str
    end: date


class PeriodReopened(Event):
    """It can be booked in again."""

    type: ClassVar[str] = "budget.period.reopened"
    period_id: UUID
    name: str
    end: date
