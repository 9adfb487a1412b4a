"""Decides what may be revised of an active goal."""

from datetime import date

from chassis.errors import Conflict, Invalid
from services.goals.goal.rules import LONGEST_DAYS, Days


def check_revision(old: Days, new: Days, today: date, *, is_measured: bool) -> None:
    """Raises Invalid, naming the field, for a window that can't be; Conflict once the old one is over, as no goal is
    saved from its outcome: unless its metric has another definition now, so that it can't be decided."""
    if old.end <= today and is_measured:
        raise Conflict("its window is over; the outcome is being decided", code="window_over")
    if new.start != old.start and old.start <= today:
        raise Invalid.field("window.start", "the window has begun: its start stays", "begun")
    if new != old and new.end <= today:
        raise Invalid.field("window.due", f"must be after today, {today}", "past")
    if len(new) > LONGEST_DAYS:
        raise Invalid.field("window.due", f"must be within {LONGEST_DAYS} days of the start", "open")
