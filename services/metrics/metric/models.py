"""Decides how a metric's definition is kept, sent, and looks from outside."""

from datetime import datetime
from typing import Annotated, ClassVar, Self

from pydantic import Field as Described
from pydantic import StringConstraints, model_validator
from sqlalchemy import ARRAY, Column, ForeignKeyConstraint, Text, UniqueConstraint
from sqlmodel import Field

from chassis.db import enum_column, instant_column
from chassis.editing import Patch
from chassis.fields import Currency, Input, Name, Readable, UtcDatetime, Words
from services.metrics.db import Table
from services.metrics.metric.rules import (
    BotPolicy,
    Combining,
    DistinctKey,
    ImpressionsFrom,
    MetricDirection,
    MetricUnit,
    NullPolicy,
)
from services.metrics.series.rules import Grain

MetricKey = Annotated[
    str, StringConstraints(pattern=r"^[a-z][a-z0-9]*(?:[._-][a-z0-9]+)*$", min_length=3, max_length=100)
]


class Metric(Table, table=True):
    """A metric of the workspace's own, and which version of its definition is the newest."""

    __table_args__ = (UniqueConstraint("workspace_id", "key"),)

    key: str
    version: int
    created_at: datetime = Field(sa_column=instant_column("created_at"))
    retired_at: datetime | None = Field(default=None, sa_column=instant_column("retired_at", nullable=True))


class MetricVersion(Table, table=True):
    """A definition, which never changes. `uses` are the metrics that it rests on, each as KEY@VERSION."""

    __tablename__ = "metric_version"
    __table_args__ = (
        UniqueConstraint("workspace_id", "key", "version"),
        ForeignKeyConstraint(
            ["workspace_id", "key"], ["metrics.metric.workspace_id", "metrics.metric.key"], ondelete="CASCADE"
        ),
    )

    key: str
    version: int
    name: str
    words: str
    unit: MetricUnit = Field(sa_column=enum_column(MetricUnit, "unit"))
    direction: MetricDirection = Field(sa_column=enum_column(MetricDirection, "direction"))
    expression: str | None
    observed: Combining | None = Field(sa_column=enum_column(Combining, "observed", nullable=True))
    bots: BotPolicy = Field(sa_column=enum_column(BotPolicy, "bots"))
    distinct_key: DistinctKey = Field(sa_column=enum_column(DistinctKey, "distinct_key"))
    impressions_from: ImpressionsFrom = Field(sa_column=enum_column(ImpressionsFrom, "impressions_from"))
    nulls: NullPolicy = Field(sa_column=enum_column(NullPolicy, "nulls"))
    grain: Grain = Field(sa_column=enum_column(Grain, "grain"))
    currency: str | None
    additive: bool
    uses: list[str] = Field(sa_column=Column("uses", ARRAY(Text), nullable=False))
    created_at: datetime = Field(sa_column=instant_column("created_at"))
    created_by: str


class MetricCreate(Input):
    """What a number is to mean: an expression over what is counted, or something that is observed elsewhere."""

    key: MetricKey = Field(
        description="Its name in URLs and expressions; fixed.", schema_extra={"examples": ["shop.opens-per-click"]}
    )
    name: Name = Field(schema_extra={"examples": ["Opens for each click"]})
    words: Words = Field("", description="The definition, for a person.")
    unit: MetricUnit = Field(
        description="Checked against the expression: a count by a count is a ratio, 100 times that a percent, money by"
        " a count money."
    )
    direction: MetricDirection = Field(MetricDirection.UP, description="Where better is.")
    expression: Annotated[str, StringConstraints(max_length=500)] | None = Field(
        None,
        description="Over measures, and other metrics in brackets: `100 * clicks / [email.unique_deliveries]`. It keeps"
        " to the versions of these that are the newest when it is saved.",
        schema_extra={"examples": ["opens / clicks"]},
    )
    observed: Combining | None = Field(
        None, description="In place of an expression: how the value of a period comes from its observations."
    )
    bots: BotPolicy = Field(
        BotPolicy.COUNTED,
        description="Whose acts count, where somebody acts: all; people's (`left_out`); machines' (`only`);"
        " those of whom nobody can tell (`unknown`).",
    )
    distinct_key: DistinctKey = Field(DistinctKey.RECIPIENT_MESSAGE, description="What unique measures tell apart.")
    impressions_from: ImpressionsFrom = Field(
        ImpressionsFrom.OPENS, description="What `unique_recipient_impressions` takes for a message that was displayed."
    )
    nulls: NullPolicy = Field(
        NullPolicy.NULL, description="What the value is where a divisor is zero or nothing was observed."
    )
    grain: Grain = Field(Grain.DAY, description="The shortest period that it makes sense for.")
    currency: Currency | None = Field(
        None, description="Of observed money; the workspace's unless another is named. An expression has its metrics'."
    )

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.expression is None) == (self.observed is None):
            raise ValueError("give either an expression or observed")
        if self.currency and self.unit is not MetricUnit.MONEY:
            raise ValueError("only money has a currency")
        if self.observed is Combining.SUM and self.unit in (MetricUnit.PERCENT, MetricUnit.RATIO):
            raise ValueError("percents and ratios don't add up; observe their mean")
        return self


class MetricPatch(Patch, of=MetricCreate, without={"key"}):
    """What the next version is to change."""


class MetricRead(Readable):
    """What a number means. Its value is `scale * numerator / denominator`, or `scale * numerator` alone."""

    IDENTITY: ClassVar[str] = "key"
    key: str = Described(examples=["email.ctr"])
    version: int = Described(
        description="Rises when the meaning changes; every series says which it was computed by. Send it as If-Match."
    )
    name: str = Described(examples=["Click-through rate"])
    words: str = Described(description="The definition, for a person.")
    unit: MetricUnit
    direction: MetricDirection = Described(description="Where better is.")
    additive: bool = Described(
        description="Whether the values of days or campaigns add up to the value of all of them."
    )
    expression: str | None = Described(
        description="Over measures, and metrics in brackets; null: it is observed.",
        examples=["100 * clicks / unique_recipient_impressions"],
    )
    observed: Combining | None = Described(
        description="How a value comes from observations of `/v1/observations`; null: it is computed."
    )
    numerator: str = Described(description="What is counted above the line.", examples=["clicks"])
    denominator: str | None = Described(
        description="What is counted below the line; null: nothing is.", examples=["unique_recipient_impressions"]
    )
    scale: int = Described(description="100 for a percentage.")
    bots: BotPolicy = Described(
        description="Whose acts count: all; people's (`left_out`); machines' (`only`); those of whom nobody can tell."
    )
    distinct_key: DistinctKey = Described(description="What unique measures tell apart.")
    impressions_from: ImpressionsFrom = Described(description="What shows that a message was displayed.")
    nulls: NullPolicy = Described(description="What the value is where a divisor is zero or nothing was observed.")
    grain: Grain = Described(description="The shortest period that it makes sense for.")
    currency: str | None = Described(description="Of money.")
    uses: list[str] = Described(
        description="The metrics that it rests on, each with its version.", examples=[["email.ctr@1"]]
    )
    shipped: bool = Described(description="Whether every workspace has it; nobody changes those.")
    created_at: UtcDatetime | None = Described(description="When this version was saved; null: it is shipped.")
    retired_at: UtcDatetime | None = Described(description="Since when nothing new may rest on it; null: it may.")


class MetricEnd(Readable):
    """That a metric is gone."""

    IDENTITY: ClassVar[str] = "key"
    key: str
