"""Decides what callers get to see of a source's quality."""

from datetime import date
from uuid import UUID

from pydantic import BaseModel, Field

from services.metrics.quality.rules import QualityGrade


def _part(words: str) -> float | None:
    part: float | None = Field(description=f"{words} From 0 to 100; null where nothing can be said.")
    return part


class QualityParts(BaseModel):
    """What a score is made of."""

    freshness: float | None = _part("100 up to three times the usual pause between posts, 0 at thirty times.")
    completeness: float | None = _part("The share of new events that were of a campaign when they came.")
    validity: float | None = _part("The share of what came that was believed and could be read.")
    uniqueness: float | None = _part("The share of events that weren't known already.")
    consistency: float | None = _part(
        "Whether steps of mails add up: no more people who opened or clicked than deliveries, nor more than sends."
    )


class QualityDay(BaseModel):
    """One day in UTC: freshness and consistency aren't told by day."""

    day: date
    score: float | None
    completeness: float | None
    validity: float | None
    uniqueness: float | None


class SourceQuality(BaseModel):
    """How good what a source tells is, over the last days."""

    source_id: UUID
    days: int = Field(description="How far back it looks.")
    grade: QualityGrade = Field(
        description="good from 90, fair from 70; poor below, or where much can't be read or is of no campaign; silent: "
        "nothing came."
    )
    score: float | None = Field(
        description="The mean of the known parts: completeness and validity weigh 25, freshness and consistency 20, "
        "uniqueness 10."
    )
    parts: QualityParts
    by_day: list[QualityDay] = Field(description="Days on which something came, the oldest first.")
