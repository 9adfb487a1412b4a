"""Decides what it takes to stand in for somebody: the row, and what callers send and get."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Index
from sqlmodel import Field

from chassis.db import instant_column
from chassis.fields import Input, Interval, Name, Readable, UtcDatetime
from services.budget.db import Table


class Delegation(Table, table=True):
    """`start` counts, `finish` doesn't: days in the workspace's zone."""

    __table_args__ = (
        CheckConstraint("finish > start", name="days"),
        Index(None, "workspace_id", "absent", "id"),
        Index(None, "workspace_id", "stand_in", "id"),
    )

    absent: str
    stand_in: str
    start: date
    finish: date
    created_by: str
    created_at: datetime = Field(sa_column=instant_column("created_at"))

    @property
    def days(self) -> Interval:
        return Interval.of(self.start, self.finish)


class DelegationCreate(Input):
    """Somebody who decides in somebody's place for some days. They need `budget:approve` themselves."""

    absent: Name = Field(schema_extra={"examples": ["ada@example.com"]})
    stand_in: Name = Field(schema_extra={"examples": ["bob@example.com"]})
    days: Interval

    def columns(self) -> dict[str, Any]:
        return self.model_dump(exclude={"days"}) | {"start": self.days.start, "finish": self.days.end}


class DelegationRead(Readable):
    """Who decides in whose place, and when."""

    id: UUID
    absent: str
    stand_in: str
    days: Interval
    created_by: str
    created_at: UtcDatetime
