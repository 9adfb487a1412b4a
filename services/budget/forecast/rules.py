"""Decides what a line's money will come to, and why it is more or less than was planned by now: in integer minor units
whose parts are always exactly the whole."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, Self

from services.budget.ledger.rules import Amounts
from services.budget.rate.rules import Rate

# The pace is that of so many days at most; over fewer than so many, it says nothing yet.
PACE, SHORTEST_PACE = timedelta(days=90), timedelta(days=28)


@dataclass(frozen=True)
class Figures:
    """What is known of lines, added up in one currency. `left`: what they will still spend; `lately`: spent in the days
    of the pace, which would be `pace` more. `optional` is None where what it is in the line's currency isn't known."""

    planned: int = 0
    planned_to_date: int = 0
    actual: int = 0
    committed: int = 0
    expected: int = 0
    lately: int = 0
    pace: int = 0
    left: int = 0
    price: int = 0
    currency: int = 0
    optional: int | None = 0

    @property
    def at_end(self) -> int:
        return self.actual + self.left

    @property
    def at_pace(self) -> int:
        return self.actual + self.pace

    def __add__(self, other: Self) -> "Figures":
        pairs = [(getattr(self, each.name), getattr(other, each.name)) for each in fields(Figures)]
        return Figures(*(None if one is None or two is None else one + two for one, two in pairs))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Causes:
    """Why more (or less, below zero) is spent than was planned by now. `price`: orders cost other than they were placed
    for. `currency`: exchange rates. `volume`: otherwise more or less will be bought than was planned. `timing`: it is
    bought sooner or later than evenly, which the rest of the period makes up for."""

    price: int = 0
    volume: int = 0
    timing: int = 0
    currency: int = 0

    @property
    def total(self) -> int:
        return self.price + self.volume + self.timing + self.currency

    def __add__(self, other: Self) -> "Causes":
        return Causes(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(Causes)))


@dataclass(frozen=True)
class Outlook:
    """What lines come to, and why it isn't what was planned."""

    figures: Figures = Figures()
    causes: Causes = Causes()

    def __add__(self, other: Self) -> "Outlook":
        return Outlook(self.figures + other.figures, self.causes + other.causes)


def outlook(
    start: date, end: date, day: date, now: Amounts, lately: int, optional: int | None, renewed: int = 0
) -> Outlook:
    """Of a line from `start` up to but without `end`, at the end of a day. `lately`: what was spent since
    `pace_since`. `renewed`: what terms cost that were settled and begin later. What is planned is planned evenly. What
    is left is what was promised, or what the pace makes of the days that are left, whichever is more."""
    whole = (end - start).days
    gone = min(max((day - start).days + 1, 0), whole)
    span = min(gone, PACE.days)
    planned, promised = now.allotted + now.transferred, now.reserved + now.committed + renewed
    pace = max(0, nearest(Fraction(lately * (whole - gone), span))) if span >= SHORTEST_PACE.days else 0
    found = Figures(
        planned=planned, planned_to_date=nearest(Fraction(planned * gone, whole)), actual=now.actual,
        committed=now.committed, expected=now.reserved + renewed, optional=optional, lately=lately, pace=pace,
        left=max(promised, pace), price=now.price, currency=now.fx,
    )  # fmt: skip
    return Outlook(found, causes_of(found))


def pace_since(day: date) -> date:
    """The first of the days whose spending is the pace; of a line that began later, its first."""
    return day - PACE + timedelta(days=1)


def causes_of(found: Figures) -> Causes:
    """What each cause has of the difference between what is spent and what was planned by now."""
    by_end = found.at_end - found.planned
    return Causes(
        price=found.price, currency=found.currency, volume=by_end - found.price - found.currency,
        timing=found.actual - found.planned_to_date - by_end,
    )  # fmt: skip


def converted(found: Outlook, rate: Rate) -> Outlook:
    """The same in another currency: each figure rounded once, and the causes so that they are exactly the difference of
    the rounded figures."""
    values: dict[str, Any] = {each.name: getattr(found.figures, each.name) for each in fields(Figures)}
    rounded: dict[str, Any] = {name: None if minor is None else rate.of(minor) for name, minor in values.items()}
    figures = Figures(**rounded)
    factor = Fraction(rate.value) * Fraction(Decimal(1).scaleb(rate.shift))
    exact = [getattr(found.causes, each.name) * factor for each in fields(Causes)]
    return Outlook(figures, Causes(*apportion(figures.actual - figures.planned_to_date, exact)))


def apportion(whole: int, exact: Sequence[Fraction]) -> list[int]:
    """Integers that are exactly `whole` together, each as near to its exact part as that allows: rounded down, and what
    is left over to the largest remainders, the first ones where they are equal."""
    floors = [part.numerator // part.denominator for part in exact]
    each, more = divmod(whole - sum(floors), len(floors))
    order = sorted(range(len(floors)), key=lambda place: floors[place] - exact[place])
    return [floor + each + (place in order[:more]) for place, floor in enumerate(floors)]


def nearest(exact: Fraction) -> int:
    """The nearest integer, a half to the even neighbour."""
    return round(exact)
