"""Decides which days a fiscal year and its periods have, and in which order periods close."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

from chassis.errors import Conflict


class Scheme(StrEnum):
    """How a year is divided: by the calendar's months, or by weeks, so that every quarter has 13 of them."""

    MONTHS = "months"
    QUARTERS = "quarters"
    HALVES = "halves"
    WEEKS_445 = "4-4-5"
    WEEKS_454 = "4-5-4"
    WEEKS_544 = "5-4-4"


class PeriodState(StrEnum):
    OPEN = "open"
    CLOSED = "closed"


MONTHS_EACH = {Scheme.MONTHS: 1, Scheme.QUARTERS: 3, Scheme.HALVES: 6}
LETTER = {Scheme.MONTHS: "P", Scheme.QUARTERS: "Q", Scheme.HALVES: "H"}
WEEKS = {Scheme.WEEKS_445: (4, 4, 5), Scheme.WEEKS_454: (4, 5, 4), Scheme.WEEKS_544: (5, 4, 4)}


@dataclass(frozen=True)
class Days:
    """`start` counts, `end` doesn't."""

    name: str
    start: date
    end: date


def month_start(year: int, month: int) -> date:
    """The first day of a month; months go on beyond December."""
    return date(year + (month - 1) // 12, (month - 1) % 12 + 1, 1)


def year_start(scheme: Scheme, year: int, month: int) -> date:
    """Where the fiscal year that begins in `year` begins: on the first of a month or, by weeks, on the Monday nearest
    to it, so that years have 52 or 53 whole weeks."""
    first = month_start(year, month)
    if scheme not in WEEKS:
        return first
    return first + timedelta(days=(-first.weekday() if first.weekday() <= 3 else 7 - first.weekday()))


def periods_of(scheme: Scheme, year: int, month: int) -> list[Days]:
    """The periods of the fiscal year that begins in a month of `year`: they cover it without a gap."""
    return list(_by_weeks(scheme, year, month) if scheme in WEEKS else _by_months(scheme, year, month))


def _by_months(scheme: Scheme, year: int, month: int) -> Iterator[Days]:
    each = MONTHS_EACH[scheme]
    for number in range(12 // each):
        first = month + number * each
        name = f"{year} {LETTER[scheme]}{number + 1:02d}" if each == 1 else f"{year} {LETTER[scheme]}{number + 1}"
        yield Days(name, month_start(year, first), month_start(year, first + each))


def _by_weeks(scheme: Scheme, year: int, month: int) -> Iterator[Days]:
    start, end = year_start(scheme, year, month), year_start(scheme, year + 1, month)
    for number, weeks in enumerate(WEEKS[scheme] * 4, 1):
        # Every fifth or sixth year has a week more, in its last period.
        until = start + timedelta(weeks=weeks) if number < 12 else end
        yield Days(f"{year} P{number:02d}", start, until)
        start = until


def assert_can_close(period: Days, today: date, closed_until: date | None) -> None:
    """Raises Conflict unless it is over and nothing after it is closed."""
    if today < period.end:
        raise Conflict(f"it isn't over before {period.end}", code="not_over")
    if closed_until is not None and closed_until >= period.end:
        raise Conflict(f"days before {closed_until} are closed already", code="closed")


def assert_can_reopen(period: Days, closed_until: date | None) -> None:
    """Raises Conflict unless it is the last that was closed: what is reopened has nothing closed after it."""
    if closed_until != period.end:
        raise Conflict(f"reopen later periods first: days before {closed_until} are closed", code="not_the_last")
