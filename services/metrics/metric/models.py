"""Decides how a metric's definition looks from outside."""

from typing import ClassVar

from pydantic import Field

from chassis.fields import Readable
from services.metrics.metric.rules import BotPolicy, MetricDirection, MetricUnit


class MetricRead(Readable):
    """What a number means. Its value is `scale * numerator / denominator`, or the numerator alone."""

    IDENTITY: ClassVar[str] = "key"
    key: str = Field(examples=["email.ctr"])
    version: int = Field(description="Rises when the meaning changes; every series says which it was computed by.")
    name: str = Field(examples=["Click-through rate"])
    words: str = Field(description="The definition, for a person.")
    unit: MetricUnit
    direction: MetricDirection = Field(description="Where better is.")
    additive: bool = Field(description="Whether the values of days or campaigns add up to the value of all of them.")
    numerator: str = Field(description="What is counted above the line.", examples=["clicks"])
    denominator: str | None = Field(
        description="What is counted below the line; null: a plain count.", examples=["unique_recipient_impressions"]
    )
    scale: int = Field(description="100 for a percentage.")
    bots: BotPolicy = Field(description="Whether events whose verdict is bot count too.")
