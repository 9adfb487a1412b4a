"""Decides what was counted in one scope: the one shape that all ways of counting fill, and all metrics are made of."""

from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction

from babel.numbers import get_currency_precision

from chassis.fields import Money
from services.metrics.metric.rules import Counted, Observations, Observed, Verdicts
from services.metrics.series.rules import Group

_NONE = Verdicts()


@dataclass
class Numbers:
    """By group and first day of the period. A group is in `groups` if anything of it is in the scope."""

    events: dict[tuple[Group, date, str], Verdicts] = field(default_factory=dict)
    uniques: dict[tuple[Group, date, Counted], Verdicts] = field(default_factory=dict)
    observed: dict[tuple[Group, date, str], Observations] = field(default_factory=dict)
    groups: set[Group] = field(default_factory=set)

    def add_events(self, group: Group, start: date, kind: str, found: Verdicts) -> None:
        self.events[group, start, kind] = found
        self.groups.add(group)

    def add_uniques(self, group: Group, start: date, what: Counted, found: Verdicts) -> None:
        self.uniques[group, start, what] = found
        self.groups.add(group)

    def add_observed(self, group: Group, start: date, key: str, found: Observations) -> None:
        self.observed[group, start, key] = found
        self.groups.add(group)

    def count(self, group: Group, start: date, what: Counted) -> Verdicts:
        """How many of something there were in a period."""
        if what.distinct is not None:
            return self.uniques.get((group, start, what), _NONE)
        return sum((self.events.get((group, start, kind), _NONE) for kind in what.types), _NONE)

    def observe(self, group: Group, start: date, what: Observed) -> Observations | None:
        """What was observed of a metric in a period; None: nothing."""
        return self.observed.get((group, start, what.key))


def number(value: Fraction | None, *, whole: bool = True) -> float | int | None:
    """A value as JSON has it, unrounded; an integer where it is one and may be one."""
    if value is None:
        return None
    if whole and value.denominator == 1:
        return value.numerator
    try:
        return float(value)
    except OverflowError:
        return None


def money(value: Fraction | None, currency: str) -> Money | None:
    """A value as an amount, rounded to whole minor units, halves to even ones."""
    return None if value is None else Money.of_minor(round(value * 10 ** get_currency_precision(currency)), currency)
