"""Decides which unit an expression has, from the units of what stands in it: counts add to counts, a percent of a count
by a count is a percent, money by a count is money."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from services.metrics.metric.expression import Binary, Expression, Measured, Named, Negative, Number, compute, is_number
from services.metrics.metric.rules import MetricUnit


class UnitError(Exception):
    """Which units don't go together, and at which character of the expression."""

    def __init__(self, words: str, at: int) -> None:
        super().__init__(f"{words}, at character {at}")


@dataclass(frozen=True)
class Dimension:
    """Powers of what a number is a number of. A factor of 100 makes a percent of a ratio. `currency`: of money."""

    count: int = 0
    money: int = 0
    seconds: int = 0
    percent: int = 0
    currency: str | None = None

    def times(self, other: "Dimension", power: int) -> "Dimension":
        money = self.money + power * other.money
        return Dimension(
            self.count + power * other.count, money, self.seconds + power * other.seconds,
            # Euros by euros are no money, and may be times dollars.
            self.percent + power * other.percent, (self.currency or other.currency) if money else None,
        )  # fmt: skip

    @property
    def powers(self) -> tuple[int, int, int, int]:
        return self.count, self.money, self.seconds, self.percent

    @property
    def unit(self) -> MetricUnit | None:
        return _UNITS.get(self.powers)

    def __str__(self) -> str:
        named = zip(("count", "money", "seconds", "percent"), self.powers, strict=True)
        parts = [f"{name}^{power}" if power != 1 else name for name, power in named if power]
        return " * ".join(parts) or "plain number"


# By a count, money and time stay what they are: so much for each.
_UNITS = {
    (0, 0, 0, 0): MetricUnit.RATIO, (0, 0, 0, 1): MetricUnit.PERCENT, (1, 0, 0, 0): MetricUnit.COUNT,
    (0, 1, 0, 0): MetricUnit.MONEY, (-1, 1, 0, 0): MetricUnit.MONEY,
    (0, 0, 1, 0): MetricUnit.SECONDS, (-1, 0, 1, 0): MetricUnit.SECONDS,
}  # fmt: skip
HUNDRED = {Fraction(100): 1, Fraction(1, 100): -1}


def dimension_of_unit(unit: MetricUnit, currency: str | None = None) -> Dimension:
    return {
        MetricUnit.COUNT: Dimension(count=1), MetricUnit.PERCENT: Dimension(percent=1), MetricUnit.RATIO: Dimension(),
        MetricUnit.MONEY: Dimension(money=1, currency=currency), MetricUnit.SECONDS: Dimension(seconds=1),
    }[unit]  # fmt: skip


def dimension(found: Expression, of: Callable[[Measured | Named], Dimension]) -> Dimension:
    """What an expression is a number of; UnitError where its parts don't go together."""
    if isinstance(found, Measured | Named):
        return of(found)
    if is_number(found):
        value = compute(found, lambda _: None)
        return Dimension(percent=HUNDRED.get(Fraction(value or 0), 0))
    if isinstance(found, Negative):
        return dimension(found.of, of)
    if isinstance(found, Number):
        return Dimension()
    left, right = dimension(found.left, of), dimension(found.right, of)
    if left.currency and right.currency and left.currency != right.currency:
        raise UnitError(f"{left.currency} and {right.currency} are two currencies", found.at)
    if found.sign in "*/":
        return left.times(right, 1 if found.sign == "*" else -1)
    return _sum(found, left, right)


def _sum(found: Binary, left: Dimension, right: Dimension) -> Dimension:
    # A number beside a percent or a ratio is one, too: 100 - [email.bounce_rate].
    if is_number(found.left) and right.unit in (MetricUnit.PERCENT, MetricUnit.RATIO):
        return right
    if is_number(found.right) and left.unit in (MetricUnit.PERCENT, MetricUnit.RATIO):
        return left
    if left.powers != right.powers:
        raise UnitError(f"{left} and {right} can't be added or subtracted", found.at)
    return left.times(Dimension(currency=right.currency), 0)
