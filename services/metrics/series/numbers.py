"""Decides what was counted in one scope: the one shape that all ways of counting fill, and all metrics are made of."""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date

from chassis.fields import Money, places_of
from services.metrics.metric.expression import Exact
from services.metrics.metric.rules import Counted, Observations, Observed, Verdicts
from services.metrics.series.rules import Group

_NONE = Verdicts()
# Minor units from which on an amount has more digits than decimals are computed with.
MOST_MONEY = 10**28
# A group, and the first day of a period.
Place = tuple[Group, date]


@dataclass
class Numbers:
    """What was counted and observed, by group and period."""

    counted: dict[Counted, dict[Place, Verdicts]] = field(default_factory=lambda: defaultdict(dict))
    observed: dict[str, dict[Place, Observations]] = field(default_factory=lambda: defaultdict(dict))

    @property
    def observed_groups(self) -> set[Group]:
        """The groups of which anything was observed."""
        return {group for places in self.observed.values() for group, _ in places}

    def add(self, group: Group, start: date, what: Counted, found: Verdicts) -> None:
        """Counts so many more of something."""
        places = self.counted[what]
        before = places.get((group, start))
        places[group, start] = before + found if before else found

    def add_observed(self, group: Group, start: date, key: str, found: Observations) -> None:
        self.observed[key][group, start] = found

    def count(self, group: Group, start: date, what: Counted) -> Verdicts:
        """How many of something there were in a period."""
        return self.counted[what].get((group, start), _NONE)

    def observe(self, group: Group, start: date, what: Observed) -> Observations | None:
        """What was observed of a metric in a period; None: nothing."""
        return self.observed[what.key].get((group, start))


def number(value: Exact | None, *, whole: bool = True) -> float | int | None:
    """A value as JSON has it, unrounded; an integer where it is one and may be one. None for what no reader of JSON
    could hold."""
    if value is None:
        return None
    try:
        rounded = float(value)
    except OverflowError:
        return None
    return value.numerator if whole and value.denominator == 1 else rounded


def money(value: Exact | None, currency: str) -> Money | None:
    """A value as an amount, rounded to whole minor units, halves to even ones. None for more than an amount may be."""
    minor = None if value is None else round(value * 10 ** places_of(currency))
    return None if minor is None or abs(minor) >= MOST_MONEY else Money.of_minor(minor, currency)
