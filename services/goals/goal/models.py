"""Decides what a goal, its evaluations and its verdicts are made of."""

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Self
from uuid import UUID

from pydantic import ConfigDict, model_validator
from pydantic import Field as Described
from sqlalchemy import CheckConstraint, Column, ForeignKeyConstraint, Index, Numeric, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field

from chassis.audit import UNAUDITED
from chassis.db import enum_column, instant_column
from chassis.fields import Day, DecimalText, Input, Name, Readable, UtcDatetime, Words, bare
from services.goals.db import Link, Table
from services.goals.goal.rules import Days, GoalKind, GoalState, Health
from services.goals.goal.smart import LetterName, Verdict


class Goal(Table, table=True):
    """Days are kept flat; `target_value` and what it was resolved from are pinned at activation."""

    __table_args__ = (
        ForeignKeyConstraint(["workspace_id", "objective_id"], ["goals.objective.workspace_id", "goals.objective.id"]),
        CheckConstraint("window_due > window_start", name="window"),
        CheckConstraint("baseline_to > baseline_from", name="baseline"),
        Index(None, "workspace_id", "objective_id"),
        Index(None, "evaluate_at", postgresql_where=text("state IN ('draft', 'active')")),
        *(
            Index(None, "workspace_id", each, "id")
            for each in ("title", "window_due", "created_at", "state", "metric_key", "owner")
        ),
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
    evaluate_at: datetime = Field(sa_column=instant_column("evaluate_at"))

    @property
    def window_days(self) -> Days:
        return Days(self.window_start, self.window_due)

    @property
    def baseline_days(self) -> Days | None:
        if self.baseline_from is None or self.baseline_to is None:
            return None
        return Days(self.baseline_from, self.baseline_to)

    @property
    def metric(self) -> "MetricRef":
        return bare(MetricRef, {"key": self.metric_key, "version": self.metric_version})

    @property
    def baseline(self) -> "Baseline | None":
        days = self.baseline_days
        return bare(Baseline, {"from_": days.start, "to": days.end}) if days else None

    @property
    def target(self) -> "Target":
        return bare(Target, {"change_percent": self.change_percent, "value": self.asked_value})

    @property
    def window(self) -> "Window":
        return bare(Window, {"start": self.window_start, "due": self.window_due})


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


class Evaluation(Table, table=True):
    """What was found when a goal was looked at: since `evaluated_at`, and still so when last looked, `checked_at`."""

    __table_args__ = (
        ForeignKeyConstraint(["workspace_id", "goal_id"], ["goals.goal.workspace_id", "goals.goal.id"]),
        Index(None, "workspace_id", "goal_id", "evaluated_at"),
        {"info": UNAUDITED},
    )

    goal_id: UUID
    evaluated_at: datetime = Field(sa_column=instant_column("evaluated_at"))
    checked_at: datetime = Field(sa_column=instant_column("checked_at"))
    metric_version: int | None
    adds_up: bool
    value: float | None
    baseline: float | None
    target: float | None
    baseline_watermark: datetime | None = Field(sa_column=instant_column("baseline_watermark", nullable=True))
    smart: list[dict[str, Any]] = Field(sa_column=Column("smart", JSONB, nullable=False))

    def same_findings(self, other: "Evaluation") -> bool:
        return all(
            getattr(self, name) == getattr(other, name)
            for name in ("metric_version", "adds_up", "value", "baseline", "target", "smart")
        )


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
        if self.target.change_percent is not None and self.kind not in (GoalKind.INCREASE, GoalKind.DECREASE):
            raise ValueError("target.change_percent goes with the kinds increase and decrease; give target.value")
        if self.target.change_percent is not None and self.baseline is None:
            raise ValueError("baseline is needed by a target of change_percent")
        if self.kind is GoalKind.DECREASE and (self.target.change_percent or 0) > 100:
            raise ValueError("target.change_percent: nothing can fall by more than 100 %")
        return self


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
    activated_at: UtcDatetime | None
    created_at: UtcDatetime


class SmartLetter(Readable):
    letter: LetterName
    verdict: Verdict
    reason: str
    evidence: dict[str, str | int | float | bool | None]


class SmartRead(Readable):
    """A goal's SMART verdicts, as of its latest evaluation."""

    IDENTITY: ClassVar[str] = "goal_id"
    goal_id: UUID
    passed: bool = Described(description="No letter fails; warnings pass.")
    letters: list[SmartLetter]
    evaluated_at: UtcDatetime | None


class ProgressRead(Readable):
    """How far a goal is, by its latest evaluation at or before `as_of`."""

    IDENTITY: ClassVar[str] = "goal_id"
    goal_id: UUID
    value: float | None = Described(description="The metric over the window so far.")
    baseline: float | None
    target: float | None = Described(description="Pinned at activation; before, what it would be.")
    share: float | None = Described(description="Of the way from the path's start to the target: 1 is there.")
    expected: float | None = Described(description="Where a straight path to the target would be by `as_of`.")
    forecast: float | None = Described(description="Where it ends at due if it goes on like this.")
    health: Health | None
    as_of: UtcDatetime
    evaluated_at: UtcDatetime | None = Described(description="When the value was last confirmed.")
    stale: bool = Described(description="The value couldn't be confirmed lately: metrics is away, or silent.")
    age_seconds: float | None = Described(description="From evaluated_at to as_of.")
