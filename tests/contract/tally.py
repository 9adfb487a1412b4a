"""Decides what is counted of generated requests: how many of each operation's were granted, what
broke."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from hypothesis import HealthCheck, Phase, settings

SEED = 20260301
# Of ten cases so many are meant to be granted; what they hold is generated all the same.
GRANTABLE = 7


def generating(cases: int) -> settings:
    return settings(
        max_examples=max(cases, 1), deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip


def share(cases: int, operations: int) -> int:
    """How many cases each operation gets; together no fewer than wanted, and of each some that would be granted and one
    that wouldn't."""
    return max(-(-cases // operations), 3)


def has_nul(url: str, content: bytes) -> bool:
    """Whether a NUL character stands in some text of a request."""
    return "%00" in url or b"\\u0000" in content


@dataclass
class Tally:
    """How many cases of each operation there were, and were granted; and what broke."""

    asked: Counter[str] = field(default_factory=Counter)
    granted: Counter[str] = field(default_factory=Counter)
    refusals: dict[str, Counter[str]] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    nul: int = 0

    def note(self, name: str, *, granted: bool, refusal: str, nul: bool) -> None:
        self.asked[name] += 1
        self.granted[name] += granted
        self.nul += nul
        if not granted:
            self.refusals.setdefault(name, Counter())[refusal[:160]] += 1

    def add(self, other: "Tally") -> None:
        self.asked += other.asked
        self.granted += other.granted
        self.nul += other.nul
        self.broken += other.broken
        for name, refusals in other.refusals.items():
            self.refusals.setdefault(name, Counter()).update(refusals)

    @property
    def shares(self) -> dict[str, float]:
        return {name: round(self.granted[name] / count, 3) for name, count in sorted(self.asked.items())}


def lines(tally: Tally) -> Iterator[str]:
    """The shares, operation by operation, and what the least granted are refused for."""
    for name, share in tally.shares.items():
        yield f"{share:7.1%}  {tally.asked[name]:6}  {name}"
        if share < 0.3:
            for refusal, count in tally.refusals[name].most_common(2):
                yield f"{'':9}{count:6}  {refusal}"
