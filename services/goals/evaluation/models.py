"""Decides what is kept of an evaluation and of a metric's history, and how progress and verdicts look."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from pydantic import Field as Described
from sqlalchemy import ARRAY, Column, Float, ForeignKeyConstraint, Index
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field

from chassis.audit import UNAUDITED
from chassis.db import instant_column
from chassis.fields import Readable, UtcDatetime
from services.goals.db import Table
from services.goals.evaluation.forecast import Course, Profile, Spread
from services.goals.evaluation.smart import LetterName, Verdict
from services.goals.goal.models import Window
from services.goals.goal.rules import Days, GoalState, Health


class History(Table, table=True):
    """What a goal's metric did before, as far as judging needs it: `windows` of the goal's length, the last ending at
    `anchor`; how months and weekdays differ; how much days do. It is asked for again when `asked` is another question,
    or when it is old; a new row only where it differs, as evaluations refer to the one that they were judged by."""

    __table_args__ = (
        ForeignKeyConstraint(["workspace_id", "goal_id"], ["goals.goal.workspace_id", "goals.goal.id"]),
        Index(None, "workspace_id", "goal_id", "found_at"),
        {"info": UNAUDITED},
    )

    goal_id: UUID
    found_at: datetime = Field(sa_column=instant_column("found_at"))
    checked_at: datetime = Field(sa_column=instant_column("checked_at"))
    asked: str
    anchor: date
    windows: list[float | None] = Field(sa_column=Column("windows", ARRAY(Float), nullable=False))
    months: list[float] | None = Field(sa_column=Column("months", ARRAY(Float), nullable=True))
    weekdays: list[float] | None = Field(sa_column=Column("weekdays", ARRAY(Float), nullable=True))
    no_season: str | None
    dispersion: float | None
    days: int
    weight_per_day: float | None

    @property
    def course(self) -> Course:
        profile = None
        if self.no_season is None:
            profile = Profile(
                tuple(self.months) if self.months else None, tuple(self.weekdays) if self.weekdays else None
            )
        spread = None
        if self.dispersion is not None and self.weight_per_day is not None:
            spread = Spread(self.dispersion, self.days, self.weight_per_day)
        return Course(profile, self.no_season, spread)

    def same_findings(self, other: "History") -> bool:
        return _same(self, other, "asked", "anchor", "windows", "course")


class Evaluation(Table, table=True):
    """What was found when a goal was looked at: since `evaluated_at`, and still so when last looked, `checked_at`.
    Rows from before the window was kept have none: the goal's own counts."""

    __table_args__ = (
        ForeignKeyConstraint(["workspace_id", "goal_id"], ["goals.goal.workspace_id", "goals.goal.id"]),
        ForeignKeyConstraint(["workspace_id", "history_id"], ["goals.history.workspace_id", "goals.history.id"]),
        Index(None, "workspace_id", "goal_id", "evaluated_at"),
        Index(None, "workspace_id", "history_id"),
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
    downward: bool = Field(False, sa_column_kwargs={"server_default": "false"})
    window_start: date | None = None
    window_due: date | None = None
    history_id: UUID | None = None

    @property
    def window_days(self) -> Days | None:
        return Days(self.window_start, self.window_due) if self.window_start and self.window_due else None

    def same_findings(self, other: "Evaluation") -> bool:
        return _same(
            self, other, "metric_version", "adds_up", "value", "baseline", "target", "smart", "downward",
            "window_start", "window_due", "history_id",
        )  # fmt: skip


def _same(one: object, other: object, *names: str) -> bool:
    return all(getattr(one, name) == getattr(other, name) for name in names)


class LetterOverride(Readable):
    """A manager's word that a letter which fails needn't keep the goal from being activated."""

    reason: str
    overridden_by: str
    overridden_at: UtcDatetime


class SmartLetter(Readable):
    letter: LetterName
    verdict: Verdict
    reason: str
    evidence: dict[str, str | int | float | bool | None]
    override: LetterOverride | None = None


class SmartRead(Readable):
    """A goal's SMART verdicts, as of its latest evaluation."""

    goal_id: UUID
    passed: bool = Described(description="No letter fails that isn't overridden; warnings pass.")
    letters: list[SmartLetter]
    evaluated_at: UtcDatetime | None


class PathsRead(Readable):
    """Where the paths to the target are by `as_of`."""

    straight: float | None = Described(description="The same every day.")
    seasonal: float | None = Described(description="As the metric's own months and weekdays go; null: see reason.")
    used: str = Described(
        description="`seasonal` or `straight`: which one `expected`, `forecast` and `health` follow.",
        examples=["seasonal"],
    )
    reason: str | None = Described(
        description="Why there is no seasonal path.", examples=["The year's profile takes 24 whole months of history."]
    )


class ForecastIntervalRead(Readable):
    """What the forecast may turn out to be. Days are taken as independent, and the path as right."""

    low: float
    high: float
    level: float = Described(description="How often such an interval holds the outcome.", examples=[0.8])
    days: int = Described(description="The days whose differences it rests on.")
    method: str


class OutcomeRead(Readable):
    """What the system decided when the window was over, or when the target was reached for good."""

    state: GoalState
    reason: str | None
    value: float | None = Described(description="The value that decided. It stays, whatever arrives later.")
    decided_at: UtcDatetime
    moved_since: float | None = Described(
        description="By how much late numbers have moved the value since; followed for 30 days. 0: not at all."
    )


class ProgressRead(Readable):
    """How far a goal is, by its latest evaluation at or before `as_of`."""

    goal_id: UUID
    value: float | None = Described(description="The metric over the window so far.")
    baseline: float | None
    target: float | None = Described(description="Pinned at activation; before, what it would be.")
    share: float | None = Described(description="Of the way from the path's start to the target: 1 is there.")
    expected: float | None = Described(description="Where the path that is used would be by `as_of`.")
    paths: PathsRead
    forecast: float | None = Described(description="Where it ends at due if it goes on like this.")
    forecast_interval: ForecastIntervalRead | None = Described(description="Null with fewer than seven days to go by.")
    health: Health | None = Described(
        description="Against `expected`: within 5 % of the way, within 20 %, or further behind. Null before the window"
        " begins and once the outcome is decided."
    )
    decides_at: UtcDatetime = Described(
        description="When the outcome is decided at the latest: a day after the window's end, for numbers that come"
        " late."
    )
    outcome: OutcomeRead | None = Described(description="Null until it is decided, and in answers as of before.")
    as_of: UtcDatetime
    evaluated_at: UtcDatetime | None = Described(description="When the value was last confirmed.")
    stale: bool = Described(
        description="The value couldn't be confirmed lately, as metrics is away or silent; or what the goal asks for"
        " has changed since it was looked at, which takes seconds."
    )
    age_seconds: float | None = Described(description="From evaluated_at to as_of.")


class EvaluationRead(Readable):
    """One point of a goal's history: what was found at `evaluated_at`, and stayed so until `checked_at` at least."""

    id: UUID
    goal_id: UUID
    evaluated_at: UtcDatetime
    checked_at: UtcDatetime
    metric_version: int | None
    window: Window
    value: float | None
    baseline: float | None
    target: float | None
    share: float | None
    expected: float | None = Described(description="Where the path that was used was at `evaluated_at`.")
    forecast: float | None
    health: Health | None
