"""Decides what keeps a definition from being saved, and which versions of others it then keeps to."""

from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches
from fractions import Fraction
from zlib import crc32

from chassis.errors import FieldError, Invalid
from services.metrics.metric.catalogue import RESERVED
from services.metrics.metric.expression import (
    Binary,
    Exact,
    Expression,
    ExpressionError,
    Measured,
    Named,
    Negative,
    leaves,
    parse,
)
from services.metrics.metric.rules import (
    MEASURES,
    MOST_LEVELS,
    Book,
    Counted,
    Definition,
    MetricUnit,
    Observations,
    Observed,
    Verdicts,
    adds_up,
    part,
)
from services.metrics.metric.units import Dimension, UnitError, dimension, dimension_of_unit
from services.metrics.series.rules import FINEST_FIRST

# Measures that one value may need, those of the metrics it rests on among them.
MOST_LEAVES = 200


def settled(wanted: Definition, newest: Mapping[str, Definition], book: Book) -> Definition:
    """The definition as it is kept: with the versions it uses, its currency, and whether it adds up. `newest` are the
    metrics that it names, `book` all that these rest on. Invalid names the field, and the place in the expression."""
    if wanted.observed:
        return replace(wanted, additive=adds_up(wanted, book))
    try:
        found = parse(wanted.expression or "")
    except ExpressionError as problem:
        raise Invalid.field("expression", str(problem), "syntax") from None
    _known(found, newest)
    uses = {leaf.key: newest[leaf.key].version for leaf in leaves(found) if isinstance(leaf, Named)}
    kept = replace(wanted, uses=uses)
    _acyclic(kept, found, book)
    size = _size(kept, book)
    if size > MOST_LEAVES:
        raise Invalid.field("expression", f"rests on {size} measures; {MOST_LEAVES} at most", "too_large")
    _divides(kept, found, book)
    _fine_enough(kept, found, newest)
    return replace(kept, currency=_unit(kept, found, newest), additive=adds_up(kept, book))


def key_is_free(key: str) -> None:
    """Invalid for keys that shipped metrics have or may get."""
    first = key.partition(".")[0]
    if first in RESERVED:
        raise Invalid.field("key", f"keys that begin with {first} are the product's; choose another word", "reserved")


def _known(found: Expression, newest: Mapping[str, Definition]) -> None:
    errors = []
    for leaf in leaves(found):
        if isinstance(leaf, Measured) and leaf.name not in MEASURES:
            near = get_close_matches(leaf.name, MEASURES, 1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(MEASURES)}"
            errors.append(("unknown_measure", f"no measure {leaf.name}, at character {leaf.at}; {hint}"))
        elif isinstance(leaf, Named) and leaf.key not in newest:
            errors.append(("unknown_metric", f"no metric {leaf.key}, at character {leaf.at}"))
        elif isinstance(leaf, Named) and newest[leaf.key].retired_at is not None:
            errors.append(("retired", f"{leaf.key} is retired, at character {leaf.at}"))
    if errors:
        told = tuple(FieldError("expression", code, words) for code, words in errors)
        raise Invalid(told[0].message, errors=told)


def _divides(wanted: Definition, found: Expression, book: Book) -> None:
    """Invalid where a divisor is zero whatever is counted."""
    if isinstance(found, Negative):
        _divides(wanted, found.of, book)
    elif isinstance(found, Binary):
        if found.sign == "/" and _always_zero(wanted, found.right, book):
            raise Invalid.field("expression", f"always divides by zero, at character {found.at}", "division_by_zero")
        _divides(wanted, found.left, book)
        _divides(wanted, found.right, book)


def _always_zero(wanted: Definition, divisor: Expression, book: Book) -> bool:
    """Whether it is for figures that have nothing to do with each other: then it is for all."""

    def value(n: int) -> Exact | None:
        """The divisor's, for the nth of such figures."""

        def figure(of: object) -> int:
            return crc32(f"{n} {of}".encode())

        def count(what: Counted) -> Verdicts:
            return Verdicts(*(figure((sorted(what.types), what.distinct, who)) for who in range(3)))

        def observe(what: Observed) -> Observations:
            return Observations(Fraction(figure(what.key)), 1)

        return part(wanted, divisor, book, count, observe)

    return all(value(n) == 0 for n in range(3))


def _acyclic(wanted: Definition, found: Expression, book: Book) -> None:
    """Invalid when the metrics that it rests on come back to it, or go too many levels down."""
    places = {leaf.key: leaf.at for leaf in leaves(found) if isinstance(leaf, Named)}

    def follow(each: Definition, way: tuple[str, ...], at: int) -> None:
        if each.key == wanted.key:
            told = " -> ".join((*way, each.key))
            raise Invalid.field("expression", f"goes in a circle: {told}, at character {at}", "cycle")
        if len(way) > MOST_LEVELS:
            raise Invalid.field(
                "expression", f"rests on metrics more than {MOST_LEVELS} levels down, at character {at}", "too_deep"
            )
        for key, version in each.uses.items():
            follow(book[key, version], (*way, each.key), at)

    for key, version in wanted.uses.items():
        follow(book[key, version], (wanted.key,), places[key])


def _size(wanted: Definition, book: Book) -> int:
    if wanted.observed:
        return 1
    found = leaves(parse(wanted.expression or ""))
    measured = sum(
        1 if isinstance(leaf, Measured) else _size(book[leaf.key, wanted.uses[leaf.key]], book) for leaf in found
    )
    return max(1, measured)  # one of numbers alone is computed too, each time that it is named


def _fine_enough(wanted: Definition, found: Expression, newest: Mapping[str, Definition]) -> None:
    for leaf in leaves(found):
        if isinstance(leaf, Named):
            other = newest[leaf.key].grain
            if FINEST_FIRST.index(other) > FINEST_FIRST.index(wanted.grain):
                raise Invalid.field("grain", f"{leaf.key} is known by {other} at the finest", "too_fine")


def _unit(wanted: Definition, found: Expression, newest: Mapping[str, Definition]) -> str | None:
    """The currency of the expression, if it has one; Invalid where its unit isn't the one declared."""

    def of(leaf: Measured | Named) -> Dimension:
        if isinstance(leaf, Measured):
            return Dimension(count=1)
        return dimension_of_unit(newest[leaf.key].unit, newest[leaf.key].currency)

    try:
        result = dimension(found, of)
    except UnitError as problem:
        raise Invalid.field("expression", str(problem), "unit") from None
    if result.unit is not wanted.unit:
        told = result.unit or f"{result}, which is no unit"
        hint = "; multiply by 100" if (result.unit, wanted.unit) == (MetricUnit.RATIO, MetricUnit.PERCENT) else ""
        raise Invalid.field("unit", f"the expression gives a {told}, not a {wanted.unit}{hint}", "unit")
    if wanted.currency and wanted.currency != result.currency:
        raise Invalid.field("currency", f"the expression's is {result.currency or 'none'}", "currency")
    return result.currency if wanted.unit is MetricUnit.MONEY else None
