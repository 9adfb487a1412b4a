"""Decides what an alert is made of, and what is kept and told of what it found."""

from datetime import date, datetime
from typing import Annotated, ClassVar, Self
from uuid import UUID

from pydantic import Field as Described
from pydantic import StringConstraints, model_validator
from sqlalchemy import ARRAY, BigInteger, Column, DateTime, ForeignKeyConstraint, Index, UniqueConstraint, Uuid
from sqlalchemy import Table as TableOf
from sqlmodel import Field

from chassis.db import enum_column, instant_column
from chassis.editing import Editable, Patch
from chassis.fields import Input, Name, Readable, UtcDatetime, Version
from chassis.outbox import Event
from services.metrics.alert.rules import AlertKind, AlertState
from services.metrics.db import METADATA, Table
from services.metrics.quality.rules import QualityGrade
from services.metrics.series.rules import Grain

Key = Annotated[str, StringConstraints(min_length=1, max_length=100)]


class Alert(Table, Editable, table=True):
    """What is watched. Numbers of before `since` are never told."""

    __table_args__ = tuple(
        Index(None, "workspace_id", each, "id") for each in ("name", "metric", "state", "created_at")
    )

    name: str
    metric: str
    campaign_ids: list[UUID] = Field(sa_column=Column("campaign_ids", ARRAY(Uuid), nullable=False))
    kind: AlertKind = Field(sa_column=enum_column(AlertKind, "kind"))
    value: float | None
    sensitivity: float
    weeks: int
    grain: Grain = Field(sa_column=enum_column(Grain, "grain"))
    state: AlertState = Field(sa_column=enum_column(AlertState, "state"))
    since: date
    created_at: datetime = Field(sa_column=instant_column("created_at"))


class AlertCreate(Input):
    """What is to be told when it happens."""

    name: Name = Field(schema_extra={"examples": ["Bounces over 5 %"]})
    metric: Key = Field(schema_extra={"examples": ["email.bounce_rate"]})
    campaign_ids: list[UUID] = Field([], max_length=200, description="Of these together; empty: the whole workspace.")
    kind: AlertKind = Field(
        description="`above` or `below` the value; or an `anomaly`: not what that weekday's numbers have been."
    )
    value: float | None = Field(
        None, ge=-1e15, le=1e15, description="The line, of above and below.", schema_extra={"examples": [5]}
    )
    sensitivity: float = Field(
        3.5, ge=1, le=20, description="How many deviations make an anomaly.", schema_extra={"examples": [3.5]}
    )
    weeks: int = Field(
        8, ge=4, le=26, description="How many weeks before an anomaly is held against.", schema_extra={"examples": [8]}
    )
    grain: Grain = Field(Grain.DAY, description="Of which periods; of anomalies days.")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.kind is AlertKind.ANOMALY:
            if self.value is not None:
                raise ValueError("an anomaly has no value that it crosses")
            if self.grain is not Grain.DAY:
                raise ValueError("anomalies are of days")
        elif self.value is None:
            raise ValueError("say which value is crossed")
        if self.grain is Grain.TOTAL:
            raise ValueError("an alert has periods: day, week, month, quarter or year")
        return self


class AlertPatch(Patch, of=AlertCreate, without={"metric", "kind", "grain"}):
    """What may change of an alert; what it has found stays."""


class AlertRead(Readable):
    """Something that is watched."""

    id: UUID
    name: str
    metric: str
    campaign_ids: list[UUID]
    kind: AlertKind
    value: float | None
    sensitivity: float
    weeks: int
    grain: Grain
    state: AlertState
    since: date = Described(description="Periods that began before it are never told.")
    created_at: UtcDatetime
    version: Version


class Finding(Table, table=True):
    """A point that an alert told of: once, whatever becomes of the number."""

    __table_args__ = (
        ForeignKeyConstraint(["workspace_id", "alert_id"], ["metrics.alert.workspace_id", "metrics.alert.id"]),
        UniqueConstraint("workspace_id", "alert_id", "start"),
        *(Index(None, "workspace_id", each, "id") for each in ("alert_id", "start", "found_at", "acknowledged_at")),
    )

    alert_id: UUID
    start: date
    value: float
    limit: float | None
    expected: float | None
    deviation: float | None
    metric_version: int
    quality: QualityGrade | None = Field(default=None, sa_column=enum_column(QualityGrade, "quality", nullable=True))
    found_at: datetime = Field(sa_column=instant_column("found_at"))
    acknowledged_at: datetime | None = Field(default=None, sa_column=instant_column("acknowledged_at", nullable=True))
    acknowledged_by: str | None = None
    note: str | None = None


# How often numbers changed, and how often they had when alerts were looked at: of workspaces that ever had any.
watch = TableOf(
    "watch", METADATA,
    Column("workspace_id", Uuid, primary_key=True),
    Column("changes", BigInteger, nullable=False),
    Column("seen", BigInteger, nullable=False),
    Column("looked_at", DateTime(timezone=True), nullable=False),
)  # fmt: skip


class FindingRead(Readable):
    """A point that an alert told of."""

    id: UUID
    alert_id: UUID
    start: date = Described(description="The first local day of the period.")
    value: float = Described(description="As it was when it was found.")
    limit: float | None = Described(description="The value that it crossed; null for anomalies.")
    expected: float | None = Described(description="The median of that weekday; null for thresholds.")
    deviation: float | None = Described(description="How many deviations from it; null for thresholds.")
    metric_version: int
    quality: QualityGrade | None = Described(
        description="The worst grade of the sources that the number rested on then; null where that isn't known."
    )
    found_at: UtcDatetime
    acknowledged_at: UtcDatetime | None
    acknowledged_by: str | None
    note: str | None = Described(description="What was said of it.")


class Acknowledge(Input):
    """That somebody knows."""

    note: Annotated[str, StringConstraints(max_length=2000)] = Field("", description="What is to be said of it.")


class _Found(Event):
    alert_id: UUID
    finding_id: UUID
    name: str
    metric: str
    metric_version: int
    campaign_ids: list[UUID]
    start: date
    value: float
    quality: QualityGrade | None


class ThresholdCrossed(_Found):
    """A number is above or below the line that an alert names. Told once for each period."""

    type: ClassVar[str] = "metrics.threshold.crossed"
    kind: AlertKind
    limit: float


class AnomalyFound(_Found):
    """A day's number isn't what that weekday's have been. Told once for each day."""

    type: ClassVar[str] = "metrics.anomaly.found"
    expected: float
    deviation: float
