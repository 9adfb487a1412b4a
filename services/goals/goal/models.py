"""Decides what a goal is made of: its row, and what callers send and get."""

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import ConfigDict, StringConstraints, model_validator
from pydantic import Field as Described
from sqlalchemy import CheckConstraint, Column, ForeignKeyConstraint, Index, Numeric
from sqlmodel import Field

from chassis.db import enum_column, instant_column
from chassis.editing import Editable, Patch
from chassis.fields import Day, DecimalText, Input, Name, Readable, UtcDatetime, Version, Words, bare
from services.goals.db import Link, Table
from services.goals.goal.rules import Days, GoalKind, GoalState, Health, change_problem


class Goal(Table, Editable, table=True):
    """Days are kept flat; `target_value` and what it was resolved from are pinned at activation. `changed_at`: when
    what it asks for last changed. `evaluate_at`: null once nothing more matters. `health`: when last looked at."""

    __table_args__ = (
        ForeignKeyConstraint(["workspace_id", "objective_id"], ["goals.objective.workspace_id", "goals.objective.id"]),
        CheckConstraint("window_due > window_start", name="window"),
        CheckConstraint("baseline_to > baseline_from", name="baseline"),
        Index(None, "workspace_id", "objective_id", "id"),
        Index(None, "workspace_id", "state", "id"),
        Index(None, "workspace_id", "kind", "id"),
        Index(None, "workspace_id", "metric_key", "id"),
        Index(None, "workspace_id", "owner", "id"),
        Index(None, "workspace_id", "health", "id"),
        Index(None, "workspace_id", "window_due", "id"),
        Index(None, "workspace_id", "title", "id"),
        Index(None, "workspace_id", "created_at", "id"),
        Index(None, "workspace_id", "needs_review", "id"),
        Index(None, "evaluate_at"),
    )

    title: str
    metric_key: str
    metric_version: int | None = None
    kind: GoalKind = Field(sa_column=enum_column(GoalKind, "kind"))
    baseline_from: date | None
    baseline_to: date | None
    change_percent: Decimal | None = Field(sa_column=Column("change_percent", Numeric, nullable=True))
    asked_value: float | None
    window_start: date
    window_due: date
    owner: str
    relevance: str
    objective_id: UUID | None
    state: GoalState = Field(sa_column=enum_column(GoalState, "state"))
    target_value: float | None = None
    baseline_value: float | None = None
    baseline_watermark: datetime | None = Field(None, sa_column=instant_column("baseline_watermark", nullable=True))
    adds_up: bool | None = None
    activated_at: datetime | None = Field(None, sa_column=instant_column("activated_at", nullable=True))
    activated_by: str | None = None
    created_at: datetime = Field(sa_column=instant_column("created_at"))
    changed_at: datetime | None = Field(None, sa_column=instant_column("changed_at", nullable=True))
    evaluate_at: datetime | None = Field(sa_column=instant_column("evaluate_at", nullable=True))
    health: Health | None = Field(None, sa_column=enum_column(Health, "health", nullable=True))
    closed_at: datetime | None = Field(None, sa_column=instant_column("closed_at", nullable=True))
    closed_by: str | None = None
    closing_reason: str | None = None
    outcome_value: float | None = None
    needs_review: bool = Field(False, sa_column_kwargs={"server_default": "false"})

    @property
    def window_days(self) -> Days:
        return Days(self.window_start, self.window_due)

    @property
    def baseline_days(self) -> Days | None:
        if self.baseline_from is None or self.baseline_to is None:
            return None
        return Days(self.baseline_from, self.baseline_to)

    @property
    def baseline(self) -> "Baseline | None":
        if self.baseline_to is None:
            return None
        return bare(Baseline, {"from_": self.baseline_from, "to": self.baseline_to})

    @property
    def target(self) -> "Target":
        return bare(Target, {"change_percent": self.change_percent, "value": self.asked_value})

    @property
    def window(self) -> "Window":
        return bare(Window, {"start": self.window_start, "due": self.window_due})

    @property
    def metric(self) -> "MetricRef":
        return bare(MetricRef, {"key": self.metric_key, "version": self.metric_version})


class GoalCampaign(Link, table=True):
    """Which campaigns a goal is measured over; a goal without any is measured over the whole workspace."""

    __tablename__ = "goal_campaign"
    __table_args__ = (
        ForeignKeyConstraint(["workspace_id", "goal_id"], ["goals.goal.workspace_id", "goals.goal.id"]),
        ForeignKeyConstraint(["workspace_id", "campaign_id"], ["goals.campaign.workspace_id", "goals.campaign.id"]),
        Index(None, "workspace_id", "campaign_id", "goal_id"),
    )

    goal_id: UUID = Field(primary_key=True)
    campaign_id: UUID = Field(primary_key=True)


Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000)]


class MetricRef(Input):
    key: Annotated[str, Described(min_length=1, max_length=200, examples=["email.total_clicks"])]
    version: int | None = Field(None, description="The definition's version; pinned at activation.")


class MetricChoice(Input):
    key: Annotated[str, Described(min_length=1, max_length=200, examples=["email.total_clicks"])]


class Baseline(Input):
    """Half-open span of days that change is measured from."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)
    from_: Day = Field(alias="from", schema_extra={"examples": ["2025-01-01"]})
    to: Day = Field(schema_extra={"examples": ["2026-01-01"]})

    @model_validator(mode="after")
    def _forward(self) -> Self:
        if self.to <= self.from_:
            raise ValueError("to must be after from")
        return self


class Window(Input):
    """Half-open span of days in which the goal is to be reached."""

    start: Day = Field(schema_extra={"examples": ["2026-01-01"]})
    due: Day = Field(schema_extra={"examples": ["2027-01-01"]})

    @model_validator(mode="after")
    def _forward(self) -> Self:
        if self.due <= self.start:
            raise ValueError("due must be after start")
        return self

    def columns(self) -> dict[str, Any]:
        return {"window_start": self.start, "window_due": self.due}


class Target(Input):
    """Either a change of the baseline in percent, or a value of the metric."""

    change_percent: DecimalText | None = Field(None, description='For example "25" for a quarter more (or less).')
    value: float | None = Field(None, description="In the metric's unit.")

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.change_percent is None) == (self.value is None):
            raise ValueError("give change_percent or value, one of them")
        if self.change_percent is not None and not 0 < self.change_percent <= 1_000_000:
            raise ValueError("change_percent is above 0 and at most 1000000; the goal's kind says which way")
        if self.value is not None and not abs(self.value) < 1e15:
            raise ValueError("value is out of range")
        return self

    def columns(self) -> dict[str, Any]:
        return {"change_percent": self.change_percent, "asked_value": self.value}


class GoalCreate(Input):
    """A goal in the articles' form: "increase total clicks from e-mail by 25 % within one year"."""

    title: Name
    campaign_ids: Annotated[list[UUID], Described(max_length=200, description="Empty: the whole workspace.")] = []
    metric: MetricChoice
    kind: GoalKind
    baseline: Baseline | None = Field(None, description="Needed by a target of change_percent.")
    target: Target
    window: Window
    owner: Name | None = Field(None, description="Who answers for it; default: who creates it.")
    relevance: Words = Field("", description="Why it matters, in words.")
    objective_id: UUID | None = Field(None, description="The objective it serves.")

    @model_validator(mode="after")
    def _a_change_needs_something_to_change(self) -> Self:
        problem = change_problem(self.kind, self.target.change_percent, has_baseline=self.baseline is not None)
        if problem:
            raise ValueError(problem)
        return self

    def columns(self) -> dict[str, Any]:
        """As the row has it; its owner may be missing."""
        return {
            **self.model_dump(include={"title", "kind", "owner", "relevance", "objective_id"}),
            "metric_key": self.metric.key,
            "baseline_from": self.baseline.from_ if self.baseline else None,
            "baseline_to": self.baseline.to if self.baseline else None,
            **self.target.columns(),
            **self.window.columns(),
        }

    @classmethod
    def of(cls, goal: Goal, campaign_ids: list[UUID]) -> "GoalCreate":
        """A goal as it would be asked for again."""
        return cls.model_construct(
            **{name: getattr(goal, name) for name in ("title", "kind", "owner", "relevance", "objective_id")},
            campaign_ids=campaign_ids,
            metric=MetricChoice(key=goal.metric_key),
            baseline=goal.baseline,
            target=goal.target,
            window=goal.window,
        )


class GoalPatch(Patch, of=GoalCreate):
    """What may change of a draft: anything. Of a goal that is no draft: its title, owner and relevance. A target is
    replaced by sending the other kind as null: `{"target": {"value": 40, "change_percent": null}}`."""


class GoalCancel(Input):
    reason: Reason = Field(description="Why it is given up; kept with it.")


class GoalRead(Readable):
    """A goal. `target_value` is null until activation pins it."""

    id: UUID
    title: str
    campaign_ids: list[UUID]
    metric: MetricRef
    kind: GoalKind
    baseline: Baseline | None
    target: Target
    window: Window
    owner: str
    relevance: str
    objective_id: UUID | None
    state: GoalState
    target_value: float | None = Described(description="The number that the target resolved to at activation.")
    baseline_value: float | None = Described(description="The baseline that it was resolved from.")
    health: Health | None = Described(description="When it was last looked at; null unless its window has begun.")
    activated_at: UtcDatetime | None
    activated_by: str | None
    closed_at: UtcDatetime | None = Described(description="When it was achieved, missed or cancelled.")
    closed_by: str | None = Described(description="Who cancelled it; `system:goals` decides all other outcomes.")
    closing_reason: str | None
    outcome_value: float | None = Described(description="The value that decided the outcome.")
    needs_review: bool = Described(description="It is closed, and nobody has said yet what was learned.")
    created_at: UtcDatetime
    version: Version
