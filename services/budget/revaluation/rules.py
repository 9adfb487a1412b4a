"""Decides by which days' rates what is held can be valued."""

from datetime import date

from chassis.errors import Invalid


def assert_has_come(day: date, today: date) -> None:
    """Raises Invalid, naming the field, for a day that has no rates yet."""
    if day > today:
        raise Invalid.field("day", f"there are no rates yet; today is {today}", "in_the_future")
