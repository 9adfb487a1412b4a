"""What the language of metrics promises: it runs nothing, computes as arithmetic does, and reads what it writes."""

import re
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chassis.errors import Invalid
from services.metrics.metric.catalogue import CATALOGUE
from services.metrics.metric.expression import (
    MOST_CHARACTERS,
    MOST_DEPTH,
    MOST_TOKENS,
    Binary,
    Expression,
    ExpressionError,
    Measured,
    Named,
    Negative,
    Number,
    compute,
    leaves,
    parse,
    quotient,
    written,
)
from services.metrics.metric.judging import settled
from services.metrics.metric.rules import (
    MEASURES,
    BotPolicy,
    Combining,
    Counted,
    Definition,
    MetricDirection,
    MetricUnit,
    NullPolicy,
    Observations,
    Value,
    Verdicts,
    adds_up,
    evaluate,
    only_rises,
)
from services.metrics.series.numbers import money, number

numbers = st.builds(lambda whole, places: Number(Fraction(whole, 10**places)), st.integers(0, 10**6), st.integers(0, 6))
names = st.sampled_from(["clicks", "opens", "a_1"]).map(Measured)
keys = st.sampled_from(["shop.revenue", "a-b.c", "x1"]).map(Named)
expressions: st.SearchStrategy[Any] = st.recursive(
    numbers | names | keys,
    lambda inner: st.builds(Negative, inner) | st.builds(Binary, st.sampled_from("+-*/"), inner, inner),
    max_leaves=12,
)


def depth(found: Expression) -> int:
    """How deep it nests when it is written: each sign and parenthesis inside another."""
    if isinstance(found, Negative):
        return 2 + depth(found.of)
    if isinstance(found, Binary):
        return 2 + max(depth(found.left), depth(found.right))
    return 1


@given(expressions.filter(lambda each: depth(each) < MOST_DEPTH))
def test_what_is_written_is_read_as_the_same(found: Expression) -> None:
    text = written(found)
    if len(text) <= MOST_CHARACTERS:
        assert parse(text) == found


@given(st.text() | st.text("clikso 0123456789.+-*/()[]_") | st.binary().map(lambda each: each.decode("latin-1")))
def test_whatever_the_text_it_is_read_or_refused_with_a_place(text: str) -> None:
    refused = None
    try:
        found = parse(text)
    except ExpressionError as problem:
        refused = problem
    if refused is None:
        assert parse(written(found)) == found
    else:
        assert 1 <= refused.at <= len(text) + 1
        assert f"at character {refused.at}" in str(refused)


VALUES = {"clicks": Fraction(17), "opens": Fraction(0), "a_1": Fraction(-3, 7)}
OTHERS = {"shop.revenue": Fraction(5), "a-b.c": Fraction(2), "x1": Fraction(9)}


def plain(found: Expression) -> Any:
    """The same in Python's own arithmetic; ZeroDivisionError where that says so."""

    def spelled(match: re.Match[str]) -> str:
        word = match[0]
        value = OTHERS[word[1:-1]] if word[0] == "[" else VALUES.get(word)
        return f"Fraction('{Fraction(word) if value is None else value}')"

    text = re.sub(r"\[[^]]*\]|[a-z]\w*|\d+(?:\.\d+)?", spelled, written(found))
    return eval(text, {"Fraction": Fraction, "__builtins__": {}})  # the oracle, over our own text


@given(expressions.filter(lambda each: depth(each) < MOST_DEPTH))
def test_it_computes_what_arithmetic_does(found: Expression) -> None:
    value = compute(found, lambda leaf: VALUES[leaf.name] if isinstance(leaf, Measured) else OTHERS[leaf.key])
    try:
        expected = Fraction(plain(found))
    except ZeroDivisionError:
        expected = None
    assert value == expected


@given(expressions, st.booleans())
@example(parse("clicks / (a_1 / opens)"), True)
def test_above_and_below_the_line_are_the_same_number_or_none(found: Expression, zero: bool) -> None:
    def of(leaf: Any) -> Fraction:
        return VALUES[leaf.name] + (not zero) if isinstance(leaf, Measured) else Fraction(len(leaf.key))

    sorted_ = quotient(found)
    above = compute(sorted_.above, of)
    below = Fraction(1) if sorted_.below is None else compute(sorted_.below, of)
    assert compute(found, of) == (None if above is None or not below else sorted_.scale * above / below)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("", 1), ("clicks +", 9), ("clicks opens", 8), ("(clicks", 1), ("clicks)", 7), ("* 2", 1), ("clicks ** 2", 9),
        ("clicks[a]", 7), ("__import__('os')", 1), ("Clicks", 1), ("1e5", 1), ("1.", 1), ("[email.ctr", 1),
        ("clicks; opens", 7), ("ä", 1), ("clicks /\n", 10), ("2clicks", 1), ("0x1f", 1),
        ("(" * (MOST_DEPTH + 1) + "1", MOST_DEPTH + 1), ("-" * 40 + "1", MOST_DEPTH + 1),
    ],
)  # fmt: skip
def test_what_can_not_be_read_is_told_with_its_place(text: str, at: int) -> None:
    with pytest.raises(ExpressionError) as refused:
        parse(text)
    assert refused.value.at == at


def test_a_scale_is_a_number_that_every_reader_has() -> None:
    for text, scale, numerator in (
        ("100 * clicks", 100, "clicks"), ("2147483647 * clicks", 2147483647, "clicks"),
        ("2147483648 * clicks", 1, "2147483648 * clicks"), ("-99999 * 99999 * clicks", 1, "-9999800001 * clicks"),
    ):  # fmt: skip
        metric = own("shop.some", text)
        assert (metric.scale, metric.numerator) == (scale, numerator)
        value = evaluate(metric, {}, lambda _: Verdicts(3), lambda _: None)
        assert value.value == compute(parse(text), lambda _: 3)


def test_an_expression_has_a_length() -> None:
    with pytest.raises(ExpressionError, match="500 characters"):
        parse("1" + " " * MOST_CHARACTERS)
    with pytest.raises(ExpressionError, match="words and signs"):
        parse("+".join(["1"] * MOST_TOKENS))


def own(key: str, expression: str | None, unit: MetricUnit = MetricUnit.COUNT, **more: Any) -> Definition:
    return Definition(
        key=key, version=1, name=key, words="", unit=unit, direction=MetricDirection.UP, expression=expression,
        shipped=False, **more,
    )  # fmt: skip


REVENUE = own("shop.revenue", None, MetricUnit.MONEY, observed=Combining.SUM, currency="EUR", additive=True)
DOLLARS = own("shop.dollars", None, MetricUnit.MONEY, observed=Combining.SUM, currency="USD", additive=True)
SCORE = own("shop.score", None, MetricUnit.RATIO, observed=Combining.MEAN)
KNOWN = {each.key: each for each in (REVENUE, DOLLARS, SCORE, *CATALOGUE.values())}
BOOK = {(each.key, each.version): each for each in KNOWN.values()}


@pytest.mark.parametrize(
    ("expression", "unit"),
    [
        ("clicks", MetricUnit.COUNT), ("clicks + 2 * opens - -sends", MetricUnit.COUNT),
        ("clicks / opens", MetricUnit.RATIO),
        ("100 * clicks / opens", MetricUnit.PERCENT), ("clicks * 100 / opens", MetricUnit.PERCENT),
        ("100 * (1 - clicks / opens)", MetricUnit.PERCENT), ("100 - [email.bounce_rate]", MetricUnit.PERCENT),
        ("[email.ctr] / 100", MetricUnit.RATIO), ("0.01 * [email.ctr]", MetricUnit.RATIO),
        ("[email.ctr] - [email.click_rate]", MetricUnit.PERCENT), ("[shop.revenue] / clicks", MetricUnit.MONEY),
        ("1000 * [shop.revenue] / deliveries", MetricUnit.MONEY), ("[shop.revenue] / [shop.dollars] * 1", None),
        ("[shop.revenue] / [shop.revenue]", MetricUnit.RATIO), ("[shop.revenue] + clicks", None),
        ("[shop.revenue] + [shop.dollars]", None),
        ("[shop.revenue] / [shop.revenue] * [shop.dollars]", MetricUnit.MONEY),
        ("clicks * opens", None), ("clicks / [shop.revenue]", None),
        ("clicks + 1", None), ("5", MetricUnit.RATIO), ("[shop.score] * clicks", MetricUnit.COUNT),
        ("clicks / opens + 1", MetricUnit.RATIO),
    ],
)  # fmt: skip
def test_units_go_together_or_are_refused(expression: str, unit: MetricUnit | None) -> None:
    for declared in MetricUnit:
        wanted = own("shop.some", expression, declared)
        if declared is unit:
            assert settled(wanted, KNOWN, BOOK).unit is unit
        else:
            with pytest.raises(Invalid) as refused:
                settled(wanted, KNOWN, BOOK)
            assert refused.value.errors[0].code == "unit"


def test_money_keeps_its_currency() -> None:
    assert settled(own("shop.each", "[shop.revenue] / clicks", MetricUnit.MONEY), KNOWN, BOOK).currency == "EUR"
    with pytest.raises(Invalid, match="EUR"):
        settled(own("shop.each", "[shop.revenue] / clicks", MetricUnit.MONEY, currency="USD"), KNOWN, BOOK)


def test_what_is_named_must_be_there_and_every_place_is_told() -> None:
    with pytest.raises(Invalid) as refused:
        settled(own("shop.some", "clickz + [no.such] + clicks"), KNOWN, BOOK)
    told = [(each.field, each.code, each.message) for each in refused.value.errors]
    assert told == [
        ("expression", "unknown_measure", "no measure clickz, at character 1; did you mean clicks?"),
        ("expression", "unknown_metric", "no metric no.such, at character 10"),
    ]


def test_metrics_that_rest_on_each_other_in_a_circle_are_refused() -> None:
    one = own("shop.one", "[shop.two]", uses={"shop.two": 1})
    two = own("shop.two", "[shop.three]", uses={"shop.three": 1})
    three = own("shop.three", "clicks")
    book = {**BOOK, ("shop.one", 1): one, ("shop.two", 1): two, ("shop.three", 1): three}
    newest = {**KNOWN, "shop.one": one, "shop.two": two, "shop.three": three}
    with pytest.raises(Invalid, match=r"shop\.three -> shop\.one -> shop\.two -> shop\.three, at character 10"):
        settled(own("shop.three", "clicks + [shop.one]"), newest, book)
    with pytest.raises(Invalid, match=r"shop\.three -> shop\.three"):
        settled(own("shop.three", "clicks + [shop.three]"), newest, book)
    assert settled(own("shop.four", "[shop.one]"), newest, book).uses == {"shop.one": 1}


def test_metrics_rest_on_metrics_five_levels_down_and_no_further() -> None:
    book, newest = dict(BOOK), dict(KNOWN)
    for level in range(7):
        wanted = own(f"shop.l{level}", f"[shop.l{level - 1}]" if level else "clicks")
        if level == 6:
            with pytest.raises(Invalid) as refused:
                settled(wanted, newest, book)
            assert refused.value.errors[0].code == "too_deep"
        else:
            newest[wanted.key] = book[wanted.key, 1] = settled(wanted, newest, book)


def test_a_metric_s_work_is_bounded_however_it_is_nested() -> None:
    book, newest = dict(BOOK), dict(KNOWN)
    for level in range(2):
        wanted = own(f"shop.l{level}", " + ".join([f"[shop.l{level - 1}]" if level else "clicks"] * 10))
        newest[wanted.key] = book[wanted.key, 1] = settled(wanted, newest, book)
    with pytest.raises(Invalid) as refused:
        settled(own("shop.top", " + ".join(["[shop.l1]"] * 3)), newest, book)
    assert refused.value.errors[0].code == "too_large"
    # Numbers alone are work too.
    newest["shop.n0"] = book["shop.n0", 1] = settled(own("shop.n0", "9", MetricUnit.RATIO), newest, book)
    many = own("shop.n1", " * ".join(["[shop.n0]"] * 40), MetricUnit.RATIO)
    newest[many.key] = book[many.key, 1] = settled(many, newest, book)
    with pytest.raises(Invalid) as refused:
        settled(own("shop.n2", " * ".join(["[shop.n1]"] * 6), MetricUnit.RATIO), newest, book)
    assert refused.value.errors[0].code == "too_large"


@pytest.mark.parametrize(
    ("expression", "at"),
    [
        ("clicks / 0", 8), ("100 * clicks / (opens * 0)", 14), ("clicks / (opens - opens)", 8),
        ("clicks / ([email.opens] - opens)", 8), ("clicks / ([email.opens.human] - opens)", None),
        ("clicks / (1 - 1)", 8), ("clicks / opens / 0.0", 16),
        ("clicks / opens - (2 / (3 - 3))", 21), ("clicks / -0", 8), ("clicks / 0.5", None), ("0 / clicks", None),
    ],
)  # fmt: skip
def test_what_is_always_divided_by_zero_is_not_saved(expression: str, at: int | None) -> None:
    problem = None
    try:
        settled(own("shop.some", expression, MetricUnit.RATIO), KNOWN, BOOK)
    except Invalid as refused:
        problem = refused.errors[0]
    assert (problem is not None and problem.code == "division_by_zero") is (at is not None)
    if problem and at:
        assert problem.message.endswith(f"at character {at}")


@given(st.integers(0, 700), st.sampled_from([-1, 1]), st.booleans())
def test_a_number_however_large_can_be_told(digits: int, sign: int, whole: bool) -> None:
    value = Fraction(sign * 10**digits, 1 if whole else 3)
    found, told = number(value), money(value, "EUR")
    assert found is None or float(found) == pytest.approx(float(value))
    assert found is not None or digits > 300
    assert told is None or abs(told.amount - Decimal(value.numerator) / value.denominator) < 1
    assert told is not None or digits > 18


@pytest.mark.parametrize(
    ("expression", "adds"),
    [
        ("clicks", True), ("2 * clicks + opens / 4 - sends", True), ("unique_clicks", False), ("clicks / opens", False),
        ("[shop.revenue]", True), ("[email.ctr]", False), ("[shop.score]", False), ("-clicks", True), ("3", False),
    ],
)  # fmt: skip
def test_values_add_up_where_they_are_sums(expression: str, adds: bool) -> None:
    uses = {leaf.key: 1 for leaf in leaves(parse(expression)) if isinstance(leaf, Named)}
    assert adds_up(own("shop.some", expression, uses=uses), BOOK) is adds


@pytest.mark.parametrize(
    ("expression", "rises"),
    [
        ("clicks + 2 * opens", True), ("unique_clicks", True), ("clicks - opens", False), ("-clicks", False),
        ("clicks / opens", False), ("[shop.revenue] + [shop.revenue]", True), ("[shop.score] * clicks", False),
        ("[email.ctr] + [email.ctr]", False), ("[email.opens]", True),
    ],
)  # fmt: skip
def test_what_is_made_of_what_may_fall_may_fall(expression: str, rises: bool) -> None:
    uses = {leaf.key: 1 for leaf in leaves(parse(expression)) if isinstance(leaf, Named)}
    assert only_rises(own("shop.some", expression, uses=uses), BOOK) is rises


def test_every_shipped_metric_is_one_that_could_be_saved() -> None:
    for metric in CATALOGUE.values():
        kept = settled(metric, KNOWN, BOOK)
        assert (kept.additive, kept.currency, kept.uses) == (metric.additive, None, {})
        assert metric.key.endswith((".human", ".bot", ".unknown")) == (metric.bots is not BotPolicy.COUNTED)


@given(st.tuples(*[st.tuples(*[st.integers(0, 50)] * 3)] * 2))
def test_flavours_of_a_count_add_up(counts: Any) -> None:
    found = {frozenset({"clicked"}): Verdicts(*counts[0]), frozenset({"opened"}): Verdicts(*counts[1])}

    def value(key: str) -> Any:
        return evaluate(CATALOGUE[key], {}, lambda what: found.get(what.types, Verdicts()), lambda _: None).value

    for key in ("email.total_clicks", "email.opens", "email.unique_clicks", "email.unique_openers"):
        assert value(key) == value(f"{key}.human") + value(f"{key}.bot") + value(f"{key}.unknown")


def test_of_what_nobody_does_all_counts_in_every_flavour() -> None:
    found = {"clicked": Verdicts(3, 2, 1), "delivered": Verdicts(0, 0, 50)}
    rate = own("shop.rate", "100 * clicks / deliveries", MetricUnit.PERCENT, bots=BotPolicy.ONLY)
    value = evaluate(rate, {}, lambda what: found[next(iter(what.types))], lambda _: None)
    assert value == Value(Fraction(4), Fraction(2), Fraction(50))


def test_what_is_not_known_is_null_or_zero_as_the_definition_says() -> None:
    def nothing(_: Counted) -> Verdicts:
        return Verdicts()

    for nulls, expected in ((NullPolicy.NULL, None), (NullPolicy.ZERO, 0)):
        rate = own("shop.rate", "100 * clicks / opens", MetricUnit.PERCENT, nulls=nulls)
        assert evaluate(rate, {}, nothing, lambda _: None).value == expected
        seen = own("shop.seen", None, observed=Combining.SUM, nulls=nulls)
        assert evaluate(seen, {}, nothing, lambda _: None).value == expected
    mean = evaluate(SCORE, {}, nothing, lambda _: Observations(Fraction(7), 2))
    assert mean == Value(Fraction(7, 2), Fraction(7), Fraction(2))


def test_a_definition_keeps_to_the_versions_it_was_saved_with() -> None:
    old, new = own("shop.base", "clicks"), Definition(**{**vars(own("shop.base", "opens")), "version": 2})
    book = {("shop.base", 1): old, ("shop.base", 2): new}
    found = {"clicked": Verdicts(3), "opened": Verdicts(8)}
    for version, expected in ((1, 6), (2, 16)):
        metric = own("shop.twice", "2 * [shop.base]", uses={"shop.base": version})
        value = evaluate(metric, book, lambda what: found[next(iter(what.types))], lambda _: None)
        assert value.value == expected


def test_every_measure_is_used_by_a_shipped_metric() -> None:
    every = (leaf for each in CATALOGUE.values() if each.expression for leaf in leaves(parse(each.expression)))
    used = {leaf.name for leaf in every if isinstance(leaf, Measured)}
    assert used == set(MEASURES)
