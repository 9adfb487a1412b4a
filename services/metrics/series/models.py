"""Decides how series are asked for and answered."""

from datetime import date
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic import Field as Described

from chassis.fields import Money, UtcDatetime, refuse_nul
from services.metrics.metric.rules import MetricUnit
from services.metrics.quality.rules import QualityGrade
from services.metrics.series.rules import Grain


def _absent(value: object) -> bool:
    return value is None


class SeriesMetric(BaseModel):
    """The definition that the numbers follow; `GET /v1/metrics/{key}` has its words."""

    key: str = Field(examples=["email.ctr"])
    version: int
    unit: MetricUnit
    currency: str | None = Field(None, description="Of money; absent for the rest.", exclude_if=_absent)


class SeriesQuality(BaseModel):
    """How good the events are that a series rests on: what their sources told over the last 30 days."""

    grade: QualityGrade = Field(description="The worst of its sources': good, fair, poor; silent: nothing came.")
    poor_source_ids: list[UUID] = Field(description="Sources that are poor; `GET /v1/sources/{id}/quality` says why.")


_QUALITY = "Null where no source is in it, or only days before the last 30."


class SeriesPoint(BaseModel):
    """One period. A rate without a denominator is null; a count of nothing is 0, since 0 is what happened."""

    start: date = Field(description="Its first local day in the span asked for.", examples=["2026-03-01"])
    value: float | int | None = Field(description="Unrounded.", examples=[4.25])
    money: Money | None = Field(
        None, description="The value where the metric's unit is money, in whole minor units; absent for the rest.",
        exclude_if=_absent,
    )  # fmt: skip
    numerator: float | int = Field(examples=[17])
    denominator: float | int | None = Field(description="Null where nothing is divided by.", examples=[400])
    completeness: float = Field(
        ge=0, le=1, description="Share of the period that lies before the watermark; below 1 more may come."
    )


class Series(BaseModel):
    group: dict[str, str | None] = Field(
        description="What it is of, by the name of group_by: `campaign_id` (null: of no campaign), `source_id`,"
        " `channel`, `message_id` or `url` (null: events without one); empty without group_by.",
        examples=[{}],
    )
    points: list[SeriesPoint]


class SeriesAnswer(BaseModel):
    """One metric over one span, as one series or one for each group."""

    metric: SeriesMetric
    grain: Grain
    timezone: str = Field(description="Whose days these are: the workspace's.", examples=["Europe/Berlin"])
    watermark: UtcDatetime | None = Field(
        description="When the latest post of these sources, or the latest observation, arrived; null: none did."
    )
    as_of: UtcDatetime | None = Field(None, description="Only what had arrived by then is in it; null: all is.")
    quality: SeriesQuality | None = Field(None, description=_QUALITY)
    series: list[Series]
    next_cursor: str | None = Field(None, description="Send it as `cursor` for the next groups; null: there are none.")


class SeriesAsked(BaseModel):
    """One series of a batch."""

    model_config = ConfigDict(extra="forbid", validate_by_name=True, validate_by_alias=True)

    metric: Annotated[str, Described(max_length=100, examples=["email.ctr"])]
    since: date = Field(alias="from", description="First local day.", examples=["2026-01-01"])
    until: date = Field(alias="to", description="First local day that no longer counts.", examples=["2026-07-01"])
    grain: Grain
    campaign_ids: list[UUID] = Field([], max_length=200, description="Empty: all events, those of no campaign too.")
    source_ids: list[UUID] = Field([], max_length=200, description="Empty: all sources.")
    version: int | None = Field(None, ge=1, le=1_000_000, description="Of the definition; null: the newest.")
    as_of: UtcDatetime | None = Field(None, description="Only what had arrived by then; counted from the events.")

    @field_validator("*", mode="before")
    @classmethod
    def _no_nul(cls, value: object) -> object:
        return refuse_nul(value)


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
    as_of: UtcDatetime | None = None
    quality: SeriesQuality | None = Field(None, description=_QUALITY)
    group: dict[str, str | None] = Field({}, description="Empty: a batch has no groups.")
    points: list[SeriesPoint] = []
    problem: SeriesProblem | None = None


class SeriesAnswers(BaseModel):
    """The series in the order they were asked for."""

    series: list[QueriedSeries]
