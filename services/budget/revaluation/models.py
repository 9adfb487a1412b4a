"""Decides what callers send and get of a revaluation."""

from datetime import date
from typing import ClassVar
from uuid import UUID

from pydantic import Field as Described

from chassis.fields import Input, Money, Readable
from services.budget.rate.models import RateText


class RevaluationCreate(Input):
    """A day by whose rates everything that is held in another currency shall be valued."""

    day: date | None = Described(None, description="Today or before; default: today, in the workspace's zone.")
    dry_run: bool = Described(False, description="Only says what would come of it.")


class HoldRevaluation(Readable):
    """What is held for something, at the day's rate."""

    IDENTITY: ClassVar[str] = "hold_id"
    hold_id: UUID
    line_id: UUID
    subject_id: UUID = Described(description="The request or contract that it is held for.")
    original: Money = Described(description="In its own currency.")
    before: Money = Described(description="In the line's, at the rate that it was pinned at.")
    difference: Money = Described(description="What the rate takes from the line; below zero: gives back.")
    rate: RateText | None
    rate_on: date | None
    problem: str | None = Described(
        description="Why it stays as it was: `does_not_fit`, `period_closed`, `no_rate`.", examples=["does_not_fit"]
    )
    available: Money | None = Described(description="What the line has, where it doesn't fit.")


class RevaluationRead(Readable):
    """What came of a revaluation."""

    IDENTITY: ClassVar[str] = "day"
    day: date
    dry_run: bool
    revalued: list[HoldRevaluation]
    exceptions: list[HoldRevaluation] = Described(description="What stays as it was; run again, it is tried again.")
