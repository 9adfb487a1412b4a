"""Decides what an expression over measures says: parsed and printed here, and no text is ever run.

    100 * clicks / unique_recipient_impressions
    [shop.revenue] / ([shop.orders] - [shop.returns])

A bare word is a measure, a key in brackets another metric; numbers, + - * / and parentheses as in arithmetic.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache

MOST_CHARACTERS = 500
MOST_TOKENS = 120
MOST_DEPTH = 12
# Expressions whose meaning is remembered: they are few, and asked for with every series.
KEPT = 1000

_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d{1,12}(?:\.\d{1,9})?)(?![\w.])|(?P<name>[a-z][a-z0-9_]{0,59})(?!\w)"
    r"|\[(?P<key>[a-z0-9][a-z0-9_.-]{0,99})\]|(?P<sign>[-+*/()]))",
    re.ASCII,
)


class ExpressionError(Exception):
    """What is wrong with an expression, and at which of its characters, counted from 1."""

    def __init__(self, words: str, at: int) -> None:
        super().__init__(f"{words}, at character {at}")
        self.at = at


@dataclass(frozen=True)
class Number:
    value: Fraction
    at: int = field(default=1, compare=False)


@dataclass(frozen=True)
class Measured:
    """A measure by its name."""

    name: str
    at: int = field(default=1, compare=False)


@dataclass(frozen=True)
class Named:
    """Another metric by its key."""

    key: str
    at: int = field(default=1, compare=False)


@dataclass(frozen=True)
class Negative:
    of: "Expression"
    at: int = field(default=1, compare=False)


@dataclass(frozen=True)
class Binary:
    """Two sides and one of + - * / between them."""

    sign: str
    left: "Expression"
    right: "Expression"
    at: int = field(default=1, compare=False)


Expression = Number | Measured | Named | Negative | Binary


# By its text, not by whose it is: a definition's version may be deleted and made again otherwise.
@lru_cache(KEPT)
def parse(text: str) -> Expression:
    """What the text says; ExpressionError, and nothing else, where it says nothing that can be computed."""
    if len(text) > MOST_CHARACTERS:
        raise ExpressionError(f"longer than {MOST_CHARACTERS} characters", MOST_CHARACTERS + 1)
    return _Parser(text).whole()


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    at: int


def _tokens(text: str) -> Iterator[_Token]:
    place = 0
    while text[place:].strip():
        found = _TOKEN.match(text, place)
        if found is None or found.lastgroup is None:
            at = place + len(text[place:]) - len(text[place:].lstrip()) + 1
            raise ExpressionError(f"{text[at - 1]!r} begins nothing that is known here", at)
        kind = found.lastgroup
        # A key's place is its bracket.
        yield _Token(kind, found[kind], found.start(kind) + (0 if kind == "key" else 1))
        place = found.end()
    yield _Token("end", "", len(text) + 1)


class _Parser:
    """Recursive descent: a sum of products of factors."""

    def __init__(self, text: str) -> None:
        self._tokens = list(_tokens(text))
        if len(self._tokens) > MOST_TOKENS:
            raise ExpressionError(f"more than {MOST_TOKENS} words and signs", self._tokens[MOST_TOKENS].at)
        self._place = 0
        self._depth = 0

    def whole(self) -> Expression:
        found = self._sum()
        if self._next.kind != "end":
            raise ExpressionError(f"one of + - * / must come before {self._next.text!r}", self._next.at)
        return found

    @property
    def _next(self) -> _Token:
        return self._tokens[self._place]

    def _take(self, *signs: str) -> _Token | None:
        token = self._next
        if token.kind != "sign" or token.text not in signs:
            return None
        self._place += 1
        return token

    def _sum(self) -> Expression:
        return self._chain(self._product, "+", "-")

    def _product(self) -> Expression:
        return self._chain(self._factor, "*", "/")

    def _chain(self, part: Callable[[], Expression], *signs: str) -> Expression:
        left = part()
        while sign := self._take(*signs):
            left = Binary(sign.text, left, part(), sign.at)
        return left

    def _factor(self) -> Expression:
        self._depth += 1
        if self._depth > MOST_DEPTH:
            raise ExpressionError(f"nested deeper than {MOST_DEPTH}", self._next.at)
        try:
            if minus := self._take("-"):
                return Negative(self._factor(), minus.at)
            if opened := self._take("("):
                found = self._sum()
                if not self._take(")"):
                    raise ExpressionError("this parenthesis is never closed", opened.at)
                return found
            return self._atom()
        finally:
            self._depth -= 1

    def _atom(self) -> Expression:
        token = self._next
        if token.kind == "end":
            raise ExpressionError("something is missing at the end", token.at)
        if token.kind == "sign":
            raise ExpressionError(f"a number, a measure or a metric must come before {token.text!r}", token.at)
        self._place += 1
        if token.kind == "number":
            return Number(Fraction(token.text), token.at)
        return Measured(token.text, token.at) if token.kind == "name" else Named(token.text, token.at)


def written(found: Expression) -> str:
    """The text that parses to the same."""
    if isinstance(found, Number):
        return _decimal(found.value)
    if isinstance(found, Measured):
        return found.name
    if isinstance(found, Named):
        return f"[{found.key}]"
    if isinstance(found, Negative):
        return f"-{_enclosed(found.of, isinstance(found.of, Binary))}"
    weak = "+-"
    left = _enclosed(found.left, found.sign not in weak and isinstance(found.left, Binary) and found.left.sign in weak)
    # To the left things stand together: what stands together to the right says so.
    right = _enclosed(
        found.right, isinstance(found.right, Binary) and (found.sign not in weak or found.right.sign in weak)
    )
    return f"{left} {found.sign} {right}"


def _enclosed(found: Expression, enclose: bool) -> str:
    return f"({written(found)})" if enclose else written(found)


def _decimal(value: Fraction) -> str:
    """A number as it can be written: literals have nine decimal places at most."""
    whole, rest = divmod(value.numerator * 10**9 // value.denominator, 10**9)
    return f"{whole}.{rest:09}".rstrip("0").rstrip(".")


def leaves(found: Expression) -> Iterator[Measured | Named]:
    """The measures and metrics in it, from left to right, each time they stand there."""
    if isinstance(found, Measured | Named):
        yield found
    elif isinstance(found, Negative):
        yield from leaves(found.of)
    elif isinstance(found, Binary):
        yield from leaves(found.left)
        yield from leaves(found.right)


def is_number(found: Expression) -> bool:
    """Whether nothing in it is measured."""
    return next(leaves(found), None) is None


# Whole numbers stay what they are: fractions cost many times as much.
Exact = Fraction | int


def compute(found: Expression, of: Callable[[Measured | Named], Exact | None]) -> Exact | None:
    """Its value, exactly, where `of` says what each leaf is; None where one is unknown or a divisor is zero."""
    if isinstance(found, Number):
        return found.value
    if isinstance(found, Measured | Named):
        return of(found)
    if isinstance(found, Negative):
        inner = compute(found.of, of)
        return None if inner is None else -inner
    left, right = compute(found.left, of), compute(found.right, of)
    if left is None or right is None:
        return None
    if found.sign == "+":
        return left + right
    if found.sign == "-":
        return left - right
    if found.sign == "*":
        return left * right
    return Fraction(left) / right if right else None


@dataclass(frozen=True)
class Quotient:
    """An expression as `scale * above / below`; without anything below the line where nothing measured divides."""

    scale: Fraction
    above: Expression
    below: Expression | None


def quotient(found: Expression) -> Quotient:
    """The outermost products and quotients sorted into what stands above the line and what below; numbers into the
    scale. The value is the same, and where one of them is zero there is none."""
    above: list[Expression] = []
    below: list[Expression] = []
    scale = _sort(found, above, below)
    if scale is None or (not above and not below):
        return Quotient(Fraction(1), found, None)
    one = Number(Fraction(1))
    return Quotient(scale, _product_of(above) or one, _product_of(below))


def _sort(found: Expression, above: list[Expression], below: list[Expression]) -> Fraction | None:
    """The product of the numbers; None where one of them divides and is zero."""
    if is_number(found):
        alone = compute(found, lambda _: None)
        return None if alone is None else Fraction(alone)
    if isinstance(found, Negative):
        scale = _sort(found.of, above, below)
        return None if scale is None else -scale
    if isinstance(found, Binary) and found.sign in "*/":
        left = _sort(found.left, above, below)
        right = _sort(found.right, above, below) if found.sign == "*" else _sort_divisor(found.right, below)
        if left is None or right is None or (found.sign == "/" and not right):
            return None
        return left * right if found.sign == "*" else left / right
    above.append(found)
    return Fraction(1)


def _sort_divisor(found: Expression, below: list[Expression]) -> Fraction | None:
    over: list[Expression] = []
    under: list[Expression] = []
    scale = _sort(found, over, under)
    if under:  # above the line it would make nothing of what can't be said: a / (b / 0) isn't a * 0 / b
        over, scale = [found], Fraction(1)
    below += over
    return scale


def _product_of(factors: list[Expression]) -> Expression | None:
    if not factors:
        return None
    found = factors[0]
    for each in factors[1:]:
        found = Binary("*", found, each)
    return found
