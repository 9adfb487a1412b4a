"""Decides how series are asked for and answered."""

from datetime import date
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from pydantic import Field as Described

from chassis.fields import UtcDatetime
from services.metrics.metric.rules import MetricUnit
from services.metrics.series.rules import Grain


class SeriesMetric(BaseModel):
    """The definition that the numbers follow; `GET /v1/metrics/{key}` has its words."""

    key: str = Field(examples=["email.ctr"])
    version: int
    unit: MetricUnit


class SeriesPoint(BaseModel):
    """One period. A rate without a denominator is null; a count of nothing is 0, since 0 is what happened."""

    start: date = Field(description="Its first local day in the span asked for.", examples=["2026-03-01"])
    value: float | int | None = Field(description="Unrounded.", examples=[4.25])
    numerator: int = Field(examples=[17])
    denominator: int | None = Field(description="Null where the metric is a plain count.", examples=[400])
    completeness: float = Field(
        ge=0, le=1, description="Share of the period that lies before the watermark; below 1 more may come."
    )


class Series(BaseModel):
    group: dict[str, UUID | None] = Field(
        description="What it is of: `campaign_id` (null: of no campaign) or `source_id`; empty without group_by.",
        examples=[{}],
    )
    points: list[SeriesPoint]


class SeriesAnswer(BaseModel):
    """One metric over one span, as one series or one for each group."""

    metric: SeriesMetric
    grain: Grain
    timezone: str = Field(description="Whose days these are: the workspace's.", examples=["Europe/Berlin"])
    watermark: UtcDatetime | None = Field(description="When the latest post of these sources arrived; null: none did.")
    series: list[Series]


class SeriesAsked(BaseModel):
    """One series of a batch."""

    model_config = ConfigDict(extra="forbid", validate_by_name=True, validate_by_alias=True)

    metric: Annotated[str, Described(max_length=100, examples=["email.ctr"])]
    since: date = Field(alias="from", description="First local day.", examples=["2026-01-01"])
    until: date = Field(alias="to", description="First local day that no longer counts.", examples=["2026-07-01"])
    grain: Grain
    campaign_ids: list[UUID] = Field([], max_length=200, description="Empty: all events, those of no campaign too.")
    source_ids: list[UUID] = Field([], max_length=200, description="Empty: all sources.")


class SeriesQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    queries: list[SeriesAsked] = Field(max_length=200)


class SeriesProblem(BaseModel):
    """Why one series of a batch has no points."""

    code: str = Field(examples=["not_found"])
    detail: str


class QueriedSeries(BaseModel):
    """One series of a batch. Where `problem` isn't null there is no metric and there are no points."""

    metric: SeriesMetric | None = None
    grain: Grain
    timezone: str
    watermark: UtcDatetime | None = None
    group: dict[str, UUID | None] = Field({}, description="Empty: a batch has no groups.")
    points: list[SeriesPoint] = []
    problem: SeriesProblem | None = None


class SeriesAnswers(BaseModel):
    """The series in the order they were asked for."""

    series: list[QueriedSeries]
