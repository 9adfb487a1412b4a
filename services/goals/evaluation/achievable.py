"""Decides how unusual what a goal asks for is in the metric's own history."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import quantiles

# Non-overlapping windows of the goal's own length. Fewer say nothing about how often something happens.
FEWEST_WINDOWS = 8
MOST_WINDOWS = 24


@dataclass(frozen=True)
class Rank:
    """Where what is asked for stands among what was seen. `percentile` 0: every window did more; 100: none did as much.

    `percentile` is None with fewer than `FEWEST_WINDOWS` windows, or where `asked` can't be compared.
    """

    asked: float | None
    percentile: float | None
    windows: int
    seen: tuple[float, ...]
    reached: int

    @property
    def quartiles(self) -> tuple[float, float, float] | None:
        """Lower quartile, median, upper quartile of what was seen; between two values by linear interpolation."""
        if len(self.seen) < 2:
            return None
        lower, median, upper = quantiles(self.seen, n=4, method="inclusive")
        return lower, median, upper


def since_it_began(values: Sequence[float | None], adds_up: bool) -> list[float | None]:
    """The windows from the first in which something was measured. Of what adds up, a first 0 is from before the metric
    was fed; a later 0 is a window in which nothing happened."""
    first = next(
        (place for place, value in enumerate(values) if value is not None and not (adds_up and value == 0)), len(values)
    )
    return list(values[first:])


def growth(before: float, after: float) -> float:
    """As a share of what was before: 0.25 is a quarter more. Rounded, so that like growth is equal."""
    return round(after / before - 1, 12)


def growths(values: Sequence[float | None], lag: int) -> list[float]:
    """By how much each window changed on the one `lag` before it. Gaps are left out, and growth from nothing, which has
    no size."""
    return [
        growth(before, after)
        for before, after in zip(values, values[lag:], strict=False)
        if before is not None and after is not None and before > 0
    ]


def rank_of_growth(
    values: Sequence[float | None], adds_up: bool, lag: int, asked: float | None, downward: bool
) -> Rank:
    """The asked growth among the growths between windows that lie as far apart as the goal's from its baseline."""
    known = since_it_began(values, adds_up)
    seen = growths(known, lag)
    # Eight windows in a row have seven changes between them.
    enough = len(seen) >= FEWEST_WINDOWS - 1
    return _rank(asked, seen, sum(value is not None for value in known), enough, downward)


def rank_of_level(values: Sequence[float | None], adds_up: bool, asked: float | None, downward: bool) -> Rank:
    """A level to be kept among the levels of the windows."""
    seen = [value for value in since_it_began(values, adds_up) if value is not None]
    return _rank(asked, seen, len(seen), len(seen) >= FEWEST_WINDOWS, downward)


def _rank(asked: float | None, seen: list[float], windows: int, enough: bool, downward: bool) -> Rank:
    """Percentile rank: the share of what was seen that lies short of what is asked for, ties counted half.

    P. A. Roscoe, Fundamental Research Statistics for the Behavioral Sciences, 2nd ed. 1975, chapter 4.
    """
    if asked is None:
        return Rank(None, None, windows, tuple(seen), 0)
    sign = -1 if downward else 1
    short = sum(sign * each < sign * asked for each in seen)
    ties = sum(each == asked for each in seen)
    percentile = 100 * (short + ties / 2) / len(seen) if enough else None
    return Rank(asked, percentile, windows, tuple(seen), len(seen) - short)
