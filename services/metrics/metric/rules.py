"""Decides what makes up a metric's definition, which measures it can rest on, and what its value is."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from fractions import Fraction
from functools import cached_property

from services.metrics.metric.expression import (
    Binary,
    Exact,
    Expression,
    Measured,
    Named,
    Negative,
    Number,
    compute,
    is_number,
    leaves,
    parse,
    quotient,
    written,
)
from services.metrics.series.rules import Grain

# More than this isn't a whole number everywhere that a definition is read: GraphQL's have 32 bits.
MOST_SCALE = 2**31 - 1
# Metrics may rest on metrics, so many levels down.
MOST_LEVELS = 5


class MetricUnit(StrEnum):
    COUNT = "count"
    PERCENT = "percent"
    RATIO = "ratio"
    MONEY = "money"
    SECONDS = "seconds"


class MetricDirection(StrEnum):
    """Where better is."""

    UP = "up"
    DOWN = "down"


class BotPolicy(StrEnum):
    """Whose acts count: everybody's; only people's; only machines'; only those of whom nobody can tell."""

    COUNTED = "counted"
    LEFT_OUT = "left_out"
    ONLY = "only"
    UNKNOWN = "unknown"


class DistinctKey(StrEnum):
    """What unique counts tell apart."""

    RECIPIENT_MESSAGE = "recipient_message"
    RECIPIENT = "recipient"


class ImpressionsFrom(StrEnum):
    """What shows that a message was displayed."""

    OPENS = "opens"
    DELIVERIES = "deliveries"


class NullPolicy(StrEnum):
    """What the value is where a divisor is zero or nothing was observed."""

    NULL = "null"
    ZERO = "zero"


class Combining(StrEnum):
    """How a metric that is observed elsewhere comes from several observations."""

    SUM = "sum"
    MEAN = "mean"


@dataclass(frozen=True)
class Measure:
    """What is counted: events of these types, or distinct recipients (and messages) among them."""

    words: str
    types: frozenset[str]
    distinct: bool = False


# No platform tells both "queued" and "sent" of one message, so together they count messages that were sent.
MEASURES: Mapping[str, Measure] = {
    "sends": Measure("messages that the platform took on", frozenset({"queued", "sent"})),
    "deliveries": Measure("messages that a recipient's server accepted", frozenset({"delivered"})),
    "deferrals": Measure("times that a recipient's server asked to try later", frozenset({"deferred"})),
    "bounces": Measure("messages that a recipient's server refused", frozenset({"bounced"})),
    "rejections": Measure("messages that the platform didn't send", frozenset({"rejected", "failed"})),
    "opens": Measure("times that a message was displayed", frozenset({"opened"})),
    "clicks": Measure("times that a link was clicked", frozenset({"clicked"})),
    "complaints": Measure("times that a message was reported as spam", frozenset({"complained"})),
    "unsubscribes": Measure("times that a recipient unsubscribed", frozenset({"unsubscribed"})),
    "subscribes": Measure("times that a recipient subscribed", frozenset({"subscribed"})),
    "unique_recipient_impressions": Measure(
        "distinct pairs of recipient and message that were displayed, however often; an event that names no recipient"
        " is in none",
        frozenset({"opened"}),
        distinct=True,
    ),
    "unique_opens": Measure(
        "distinct pairs of recipient and message that were opened", frozenset({"opened"}), distinct=True
    ),
    "unique_clicks": Measure(
        "distinct pairs of recipient and message in which a link was clicked", frozenset({"clicked"}), distinct=True
    ),
    "unique_deliveries": Measure(
        "distinct pairs of recipient and message that were delivered", frozenset({"delivered"}), distinct=True
    ),
}
IMPRESSIONS = "unique_recipient_impressions"
# What only a person or a machine in a person's place does. Of the rest nobody is judged, so it counts whole.
JUDGED = frozenset({"opened", "clicked", "complained", "unsubscribed", "subscribed"})


@dataclass(frozen=True)
class Counted:
    """Something to count in events: these types of them, or what is distinct in them."""

    types: frozenset[str]
    distinct: DistinctKey | None = None

    @property
    def judged(self) -> bool:
        return self.types <= JUDGED


@dataclass(frozen=True)
class Observed:
    """What was observed of a metric elsewhere."""

    key: str


@dataclass(frozen=True)
class Verdicts:
    """How many there were by who acted; together they are all."""

    human: int = 0
    bot: int = 0
    unknown: int = 0

    def under(self, policy: BotPolicy) -> int:
        if policy is BotPolicy.COUNTED:
            return self.human + self.bot + self.unknown
        if policy is BotPolicy.LEFT_OUT:
            return self.human
        return self.bot if policy is BotPolicy.ONLY else self.unknown

    def __add__(self, other: "Verdicts") -> "Verdicts":
        return Verdicts(self.human + other.human, self.bot + other.bot, self.unknown + other.unknown)


@dataclass(frozen=True)
class Observations:
    """What was observed in one period: how much together, and how often."""

    total: Fraction
    times: int


@dataclass(frozen=True)
class Value:
    """A metric's value in one period, with what stands above and below the line; None where it can't be said."""

    value: Exact | None
    numerator: Exact
    denominator: Exact | None


@dataclass(frozen=True)
class Definition:
    """One version of one metric: `expression` over measures and metrics, or `observed` elsewhere. `uses` says which
    version of each metric it keeps to. `additive`: the values of parts (days, campaigns) add up to that of the whole;
    of others the whole is counted anew."""

    key: str
    version: int
    name: str
    words: str
    unit: MetricUnit
    direction: MetricDirection
    expression: str | None
    observed: Combining | None = None
    bots: BotPolicy = BotPolicy.COUNTED
    distinct_key: DistinctKey = DistinctKey.RECIPIENT_MESSAGE
    impressions_from: ImpressionsFrom = ImpressionsFrom.OPENS
    nulls: NullPolicy = NullPolicy.NULL
    grain: Grain = Grain.DAY
    currency: str | None = None
    additive: bool = False
    uses: Mapping[str, int] = field(default_factory=dict)
    shipped: bool = True
    created_at: datetime | None = None
    retired_at: datetime | None = None

    @cached_property
    def _parsed(self) -> Expression:
        return parse(self.expression or "0")

    @cached_property
    def _line(self) -> tuple[int, Expression, Expression | None]:
        found = quotient(self._parsed)
        scale, rest = found.scale.numerator, found.scale.denominator
        above, below = found.above, found.below
        if rest > 1:
            below = Number(Fraction(rest)) if below is None else Binary("*", Number(Fraction(rest)), below)
        if abs(scale) > MOST_SCALE:
            scale, above = 1, Binary("*", Number(Fraction(scale)), above)
        return scale, above, below

    @property
    def scale(self) -> int:
        return 1 if self.observed else self._line[0]

    @property
    def numerator(self) -> str:
        return "observed" if self.observed else written(self._line[1])

    @property
    def denominator(self) -> str | None:
        if self.observed:
            return "observations" if self.observed is Combining.MEAN else None
        return written(self._line[2]) if self._line[2] else None

    @cached_property
    def _counted(self) -> dict[str, Counted]:
        return {}

    def counted(self, measure: str) -> Counted:
        """What a measure counts in this definition."""
        found = self._counted.get(measure)
        if found is None:
            found = self._counted[measure] = self._count_of(measure)
        return found

    def _count_of(self, measure: str) -> Counted:
        meant = MEASURES[measure]
        by_deliveries = measure == IMPRESSIONS and self.impressions_from is ImpressionsFrom.DELIVERIES
        types = frozenset({"delivered"}) if by_deliveries else meant.types
        return Counted(types, self.distinct_key if meant.distinct else None)


Book = Mapping[tuple[str, int], Definition]
Count = Callable[[Counted], Verdicts]
Observe = Callable[[Observed], Observations | None]


def needs(metric: Definition, book: Book) -> Iterator[Counted | Observed]:
    """All that has to be counted or read for a metric and for those it rests on."""
    if metric.observed:
        yield Observed(metric.key)
        return
    for leaf in leaves(metric._parsed):
        if isinstance(leaf, Measured):
            yield metric.counted(leaf.name)
        else:
            yield from needs(book[leaf.key, metric.uses[leaf.key]], book)


def evaluate(metric: Definition, book: Book, count: Count, observe: Observe) -> Value:
    """A metric's value from what was counted and observed, exactly."""
    if metric.observed:
        return _observed(metric, observe(Observed(metric.key)))
    scale, above, below = metric._line
    numerator = part(metric, above, book, count, observe)
    denominator = part(metric, below, book, count, observe) if below else None
    value: Exact | None = None
    if numerator is not None and below is None:
        value = scale * numerator
    elif numerator is not None and denominator:
        value = Fraction(scale * numerator) / denominator
    if value is None and metric.nulls is NullPolicy.ZERO:
        value = 0
    return Value(value, numerator or 0, None if below is None else denominator or 0)


def part(metric: Definition, found: Expression, book: Book, count: Count, observe: Observe) -> Exact | None:
    """The value of a part of a metric's expression."""

    def of(leaf: Measured | Named) -> Exact | None:
        if isinstance(leaf, Named):
            return evaluate(book[leaf.key, metric.uses[leaf.key]], book, count, observe).value
        what = metric.counted(leaf.name)
        return count(what).under(metric.bots if what.judged else BotPolicy.COUNTED)

    return compute(found, of)


def _observed(metric: Definition, found: Observations | None) -> Value:
    missing = Fraction(0) if metric.nulls is NullPolicy.ZERO else None
    if metric.observed is Combining.MEAN:
        if found is None:
            return Value(missing, Fraction(0), Fraction(0))
        return Value(found.total / found.times, found.total, Fraction(found.times))
    return Value(missing, Fraction(0), None) if found is None else Value(found.total, found.total, None)


def adds_up(metric: Definition, book: Book) -> bool:
    """Whether the values of parts add up to the value of the whole: sums of what adds up, times numbers."""
    if metric.observed:
        return metric.observed is Combining.SUM

    def of(found: Expression) -> bool:
        if isinstance(found, Measured):
            return metric.counted(found.name).distinct is None
        if isinstance(found, Named):
            return adds_up(book[found.key, metric.uses[found.key]], book)
        if isinstance(found, Negative):
            return of(found.of)
        if not isinstance(found, Binary):
            return False
        if found.sign in "+-":
            return of(found.left) and of(found.right)
        return (of(found.left) and is_number(found.right)) or (
            found.sign == "*" and is_number(found.left) and of(found.right)
        )

    return of(metric._parsed)


def only_rises(metric: Definition, book: Book) -> bool:
    """Whether the value of a period can't fall while it lasts: as neither differences, quotients nor means do."""
    if metric.observed:
        return metric.observed is Combining.SUM

    def of(found: Expression) -> bool:
        if isinstance(found, Named):
            return only_rises(book[found.key, metric.uses[found.key]], book)
        if isinstance(found, Binary):
            return found.sign in "+*" and of(found.left) and of(found.right)
        return not isinstance(found, Negative)

    return of(metric._parsed)


def flavours(raw: Definition) -> list[Definition]:
    """The same of people's acts, of machines', and of those of whom nobody can tell, where there are acts."""
    if not any(raw.counted(leaf.name).judged for leaf in leaves(raw._parsed) if isinstance(leaf, Measured)):
        return []
    words = {
        "human": ("people only", BotPolicy.LEFT_OUT, "Only acts whose verdict is human count."),
        "bot": ("machines only", BotPolicy.ONLY, "Only acts whose verdict is bot count."),
        "unknown": ("of unknown origin", BotPolicy.UNKNOWN, "Only acts of which nobody can tell who acted count."),
    }
    return [
        Definition(
            **{
                **{name: getattr(raw, name) for name in Definition.__dataclass_fields__},
                "key": f"{raw.key}.{flavour}", "name": f"{raw.name}, {suffix}", "bots": policy,
                "words": f"{raw.words} {told}",
            }
        )
        for flavour, (suffix, policy, told) in words.items()
    ]  # fmt: skip
