"""Decides what a scenario is made of: its rows, and what callers send and get."""

from datetime import date, datetime
from typing import Any, ClassVar
from uuid import UUID

from pydantic import Field as Described
from sqlalchemy import BigInteger, CheckConstraint, ForeignKeyConstraint, Index, UniqueConstraint
from sqlmodel import Field

from chassis.db import enum_column, instant_column
from chassis.editing import Editable, Patch
from chassis.fields import Input, Interval, Money, Name, Readable, UtcDatetime, Version
from chassis.outbox import Event
from services.budget.db import Table
from services.budget.scenario.rules import ScenarioState


class Scenario(Table, Editable, table=True):
    """Another plan for a line and all that lie below it; or, with `before_id`, what was the plan until that one was
    adopted."""

    __table_args__ = (
        ForeignKeyConstraint(["workspace_id", "line_id"], ["line.workspace_id", "line.id"]),
        ForeignKeyConstraint(["workspace_id", "before_id"], ["scenario.workspace_id", "scenario.id"]),
        *(Index(None, "workspace_id", each, "id") for each in ("line_id", "before_id", "state", "name", "created_at")),
    )

    name: str
    line_id: UUID
    before_id: UUID | None = None
    state: ScenarioState = Field(ScenarioState.DRAFT, sa_column=enum_column(ScenarioState, "state"))
    created_by: str
    created_at: datetime = Field(sa_column=instant_column("created_at"))
    decided_by: str | None = None
    decided_at: datetime | None = Field(None, sa_column=instant_column("decided_at", nullable=True))


class ScenarioLine(Table, Editable, table=True):
    """What a line is in a scenario: how much it has of its own, without what those below it were given."""

    __tablename__ = "scenario_line"
    __table_args__ = (
        ForeignKeyConstraint(["workspace_id", "scenario_id"], ["scenario.workspace_id", "scenario.id"]),
        ForeignKeyConstraint(["workspace_id", "line_id"], ["line.workspace_id", "line.id"]),
        UniqueConstraint("workspace_id", "scenario_id", "line_id"),
        CheckConstraint("period_end > period_start", name="period"),
        Index(None, "workspace_id", "scenario_id", "id"),
        Index(None, "workspace_id", "line_id", "id"),
    )

    scenario_id: UUID
    line_id: UUID
    minor: int = Field(sa_type=BigInteger)
    currency: str
    period_start: date
    period_end: date

    @property
    def period(self) -> Interval:
        return Interval.of(self.period_start, self.period_end)

    @property
    def amount(self) -> Money:
        return Money.of_minor(self.minor, self.currency)


class ScenarioCreate(Input):
    """Another plan: a copy of a line and of all that lie below it, as they are now."""

    name: Name = Field(schema_extra={"examples": ["If the fair is cancelled"]})
    line_id: UUID = Field(description="The line at the top of what is copied.")


class ScenarioPatch(Patch, of=ScenarioCreate, without={"line_id"}):
    """What may change of a scenario: its name. What it plans are its lines."""


class ScenarioRead(Readable):
    """Another plan for a line and all that lie below it."""

    id: UUID
    name: str
    line_id: UUID
    before_id: UUID | None = Described(
        description="This was the plan until that scenario was adopted: to adopt it takes that back. Null: a person's."
    )
    state: ScenarioState
    created_by: str
    created_at: UtcDatetime
    decided_by: str | None
    decided_at: UtcDatetime | None
    version: Version


class ScenarioAdopted(Event):
    """It is the plan now."""

    type: ClassVar[str] = "budget.scenario.adopted"
    scenario_id: UUID
    line_id: UUID
    was_id: UUID


class ScenarioLinePlan(Input):
    """What a line shall have."""

    amount: Money = Field(description="Of its own, in its currency: without what lines below it have.")
    period: Interval

    def columns(self) -> dict[str, Any]:
        return {"minor": self.amount.minor, "period_start": self.period.start, "period_end": self.period.end}


class ScenarioLinePatch(Patch, of=ScenarioLinePlan):
    """What may change of a line in a scenario."""


class ScenarioLineRead(Readable):
    """What a line is in a scenario."""

    id: UUID
    scenario_id: UUID
    line_id: UUID
    amount: Money
    period: Interval
    version: Version


class ScenarioDifference(Readable):
    """A line in a scenario, beside what it is now."""

    line_id: UUID
    name: str
    now: Money = Described(description="What it has of its own: allotted, and what came from other lines.")
    scenario: Money
    difference: Money = Described(description="What adopting it gives the line; below zero: takes.")
    available: Money = Described(description="Of what it has now; no `stop` line gives more than this.")
    period: Interval
    scenario_period: Interval


class ScenarioComparison(Readable):
    """A scenario beside the plan that holds, the first lines first."""

    lines: list[ScenarioDifference]
