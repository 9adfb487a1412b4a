"""Decides which figures of the whole company money is held against, and what share of one it is."""

from decimal import ROUND_HALF_EVEN, Decimal
from enum import StrEnum

from chassis.errors import Invalid


class FigureKind(StrEnum):
    """What the company plans to spend in all, or to take in."""

    BUDGET = "budget"
    REVENUE = "revenue"


def assert_figure(minor: int) -> None:
    """Raises Invalid, naming the field, unless something can be a share of it."""
    if minor <= 0:
        raise Invalid.field("amount.amount", "must be more than zero", "not_positive")
    if minor > 10**17:
        raise Invalid.field("amount.amount", "no company is as large as this", "too_much")


def percent_of(part: int, whole: int) -> Decimal:
    """A share in percent, to a hundredth."""
    return (Decimal(100 * part) / whole).quantize(Decimal("0.01"), ROUND_HALF_EVEN)
