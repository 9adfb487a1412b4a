"""Decides what a budget line may be: its policy, and how it fits below its parent."""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from chassis.errors import Conflict, Invalid


class LinePolicy(StrEnum):
    """What happens when more is asked of a line than is available: `stop` refuses it, `warn` says so and goes on."""

    STOP = "stop"
    WARN = "warn"


@dataclass(frozen=True)
class Frame:
    """What a line shares with its parent: an ISO 4217 code, and days from `start` up to but without `end`."""

    currency: str
    start: date
    end: date


def assert_fits(child: Frame, parent: Frame) -> None:
    """Raises Invalid, naming the field, unless the child has its parent's currency and lies within its period."""
    if child.currency != parent.currency:
        raise Invalid.field("currency", f"the parent line is in {parent.currency}", "not_the_parents")
    if child.start < parent.start or child.end > parent.end:
        raise Invalid.field("period", f"the parent line is from {parent.start} to {parent.end}", "outside_parent")


def assert_holds(parent: Frame, first: date, last: date) -> None:
    """Raises Invalid, naming the field, unless a line's period holds those of the lines below it, which reach from
    `first` up to but without `last`."""
    if first < parent.start or last > parent.end:
        raise Invalid.field("period", f"lines below this one are from {first} to {last}", "outside_children")


def assert_may_stop(policy: LinePolicy, available: int) -> None:
    """Raises Conflict when a line that is below zero should become one that never is."""
    if policy is LinePolicy.STOP and available < 0:
        raise Conflict("more is spent than was allotted: allot the rest before the line can stop", code="overspent")
