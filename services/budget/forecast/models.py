"""Decides what callers get to know of what money will come to."""

from datetime import date
from typing import Any, ClassVar
from uuid import UUID

from pydantic import Field as Described

from chassis.fields import Money, Readable, UtcDatetime
from services.budget.forecast.rules import Causes, Outlook


class RunRate(Readable):
    """How fast money was spent lately, by the days that it counts in, and what goes on so."""

    IDENTITY: ClassVar[str] = "spent"
    spent: Money = Described(description="In the 90 days up to then, those of the line's period alone.")
    at_end: Money = Described(
        description="Spent by the end of the period at that pace; of a line younger than 28 days, what is spent."
    )


class Variance(Readable):
    """What is spent less what was planned by then, and why; the four causes are exactly the total."""

    IDENTITY: ClassVar[str] = "total"
    total: Money
    price: Money = Described(description="Orders cost more than they were placed for; below zero: less.")
    volume: Money = Described(description="Otherwise more will be bought by the end than was planned; or less.")
    timing: Money = Described(description="It is bought sooner than evenly over the period; below zero: later.")
    currency: Money = Described(description="Exchange rates took more; below zero: they gave.")


class MoneyForecast(Readable):
    """What money will come to by the end of its lines' periods, all in one currency."""

    IDENTITY: ClassVar[str] = "at_end"
    planned: Money = Described(description="Allotted; what came from other lines and went to them included.")
    planned_to_date: Money = Described(description="Of it, what would be spent by then if it were spent evenly.")
    actual: Money = Described(description="Spent.")
    committed: Money = Described(description="Ordered, and not yet invoiced.")
    expected: Money = Described(
        description="Approved or reserved, and not yet ordered; and the next terms of contracts that somebody settled"
        " and that begin within the line's period."
    )
    optional: Money | None = Described(
        description="Asked for, and not yet decided on; in no sum. Null where a rate is missing."
    )
    run_rate: RunRate
    at_end: Money = Described(
        description="`actual`, and of each line `committed` and `expected`, or what its run rate adds if it is more."
    )
    over: Money = Described(description="`at_end` less `planned`; below zero: what will be left.")
    variance: Variance

    @classmethod
    def of_outlook(cls, found: Outlook, currency: str) -> "MoneyForecast":
        def money(minor: int) -> Money:
            return Money.of_minor(minor, currency)

        names = ("planned", "planned_to_date", "actual", "committed", "expected", "at_end")
        told: dict[str, Any] = {name: money(getattr(found.figures, name)) for name in names}
        optional, over = found.figures.optional, found.figures.at_end - found.figures.planned
        return cls.of(
            None, **told, over=money(over), optional=None if optional is None else money(optional),
            run_rate=RunRate.of(None, spent=money(found.figures.lately), at_end=money(found.figures.at_pace)),
            variance=_variance(found.causes, currency),
        )  # fmt: skip


def _variance(causes: Causes, currency: str) -> Variance:
    minors = {**vars(causes), "total": causes.total}
    told: dict[str, Any] = {name: Money.of_minor(minor, currency) for name, minor in minors.items()}
    return Variance.of(None, **told)


class ForecastOfLine(Readable):
    """What a line's money will come to, in its currency."""

    IDENTITY: ClassVar[str] = "line_id"
    line_id: UUID
    as_of: UtcDatetime
    lines: int = Described(description="How many it is the sum of.")
    forecast: MoneyForecast


class ForecastOfDepartment(Readable):
    """What a department's money will come to, in the reporting currency."""

    IDENTITY: ClassVar[str] = "department"
    department: str
    lines: int
    forecast: MoneyForecast


class PlanForecast(Readable):
    """What all money of a day's plan will come to, in the reporting currency at that day's rates."""

    IDENTITY: ClassVar[str] = "as_of"
    as_of: UtcDatetime
    day: date
    lines: int
    forecast: MoneyForecast
    departments: list[ForecastOfDepartment] = Described(description="By name; exactly the whole together.")
