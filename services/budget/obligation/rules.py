"""Decides when an obligation is due, and next due once it was met."""

from datetime import date

from chassis.errors import Conflict
from services.budget.contract.rules import months_later


def due_date(first: date, every_months: int | None, times_met: int) -> date:
    """When it is due after it was met so many times: counted from the first time, so that what is due on the 31st stays
    so after a shorter month. What doesn't recur keeps its day."""
    return months_later(first, (every_months or 0) * times_met, first.day)


def assert_open(*, is_met: bool) -> None:
    """Raises Conflict `met` when there is nothing left to do."""
    if is_met:
        raise Conflict("it was met, and doesn't recur", code="met")
