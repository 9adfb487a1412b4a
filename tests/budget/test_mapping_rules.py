"""What is read of other systems' rows: what was written, or why it can't be told; never a guess, never a crash."""

import csv
import io
import zipfile
from datetime import date
from decimal import Decimal
from typing import Any

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.budget.mapping.rules import (
    DateOrder,
    DecimalMark,
    How,
    Merged,
    Said,
    SpendingSign,
    Spent,
    Unreadable,
    read_amount,
    read_day,
    read_row,
)
from services.budget.statement.reading import read_file
from services.budget.statement.rules import FileProblem, Row, claim_of, pack, unpack
from services.budget.statement.text import DELIMITERS, decoded, text_rows

WANTED = {Said.DATE: "Date", Said.AMOUNT: "Amount", Said.DESCRIPTION: "Text"}
PLACES = {"EUR": 2, "USD": 2, "JPY": 0, "GBP": 2, "SEK": 2}.get
POINT, COMMA = DecimalMark.POINT, DecimalMark.COMMA
DAYS = st.dates(date(1990, 1, 1), date(2200, 1, 1))


def read(*cells: Any, **how: Any) -> Spent:
    return read_row(
        cells, {said: place for place, said in enumerate(WANTED)}, 3, How(**{"currency": "EUR", **how}), PLACES
    )


def refused(*cells: Any, **how: Any) -> tuple[str | None, str]:
    with pytest.raises(Unreadable) as found:
        read(*cells, **how)
    return found.value.field, found.value.code


def written(minor: int, mark: DecimalMark, separator: str) -> str:
    whole, part = divmod(abs(minor), 100)
    return f"{whole:,}".replace(",", separator) + (f"{'.' if mark is POINT else ','}{part:02}")


@given(
    st.integers(1, 10**14), st.sampled_from(DecimalMark), st.sampled_from(["", "other", " ", "\u00a0", "\u202f", "'"]),
    st.sampled_from(["-{}", "({})", "{}-", "\u2212{}", "€ -{}", "-€{}", "(€ {})", "({}) EUR", "EUR -{}", "-{} €"]),
    st.booleans(), st.sampled_from(SpendingSign),
)  # fmt: skip
def test_what_is_written_is_read_back(
    minor: int, mark: DecimalMark, separator: str, way: str, negative: bool, spending: SpendingSign
) -> None:
    between = {"other": "," if mark is POINT else "."}.get(separator, separator)
    text = written(minor, mark, between)
    shown = (way if negative else way.translate(dict.fromkeys(map(ord, "-\u2212()")))).format(text)
    sign = (-1 if negative else 1) * (-1 if spending is SpendingSign.NEGATIVE else 1)
    found = read("2026-06-01", shown, None, decimal_mark=mark, spending=spending)
    assert (found.minor, found.currency) == (sign * minor, "EUR")


@given(
    st.integers(1, 10**14), st.booleans(), st.booleans(),
    st.sampled_from(["", "0,00", "-", "0,00 €", None, Decimal(0)]),
    st.sampled_from(SpendingSign),
)  # fmt: skip
def test_a_debit_is_spent_and_a_credit_came_back_whatever_stands_in_the_other_column(
    minor: int, credit: bool, negative: bool, other: Any, spending: SpendingSign
) -> None:
    at = {Said.DATE: 0, Said.DEBIT: 1, Said.CREDIT: 2}
    how = How(decimal_mark=COMMA, spending=spending, currency="EUR")
    shown = ("-" if negative else "") + written(minor, COMMA, ".")
    cells = ("2026-06-01", other, shown) if credit else ("2026-06-01", shown, other)
    sign = -1 if negative else 1
    wanted = -sign if credit or spending is SpendingSign.NEGATIVE else sign
    assert read_row(cells, at, 3, how, PLACES).minor == wanted * minor


@pytest.mark.parametrize(
    ("debit", "credit", "why"),
    [
        ("1,00", "2,00", (Said.DEBIT, "debit_and_credit")), ("", None, (Said.DEBIT, "missing")),
        ("0,00", "0,00", (Said.DEBIT, "zero")), ("", "abc", (Said.CREDIT, "not_an_amount")),
        ("1,005", "", (Said.DEBIT, "too_precise")), ("", "USD 1,00", (Said.CREDIT, "other_currency")),
    ],
)  # fmt: skip
def test_a_pair_of_amounts_that_says_nothing_or_two_things_is_refused(
    debit: str, credit: str | None, why: tuple[Said, str]
) -> None:
    at = {Said.DATE: 0, Said.DEBIT: 1, Said.CREDIT: 2}
    with pytest.raises(Unreadable) as found:
        read_row(("2026-06-01", debit, credit), at, 3, How(decimal_mark=COMMA, currency="EUR"), PLACES)
    assert (found.value.field, found.value.code) == why


@pytest.mark.parametrize(
    ("text", "mark"),
    [
        ("1,50", POINT), ("1.50", COMMA), ("1,2345", POINT), ("12,34,567", POINT), ("1.234.5", POINT), ("1 23", POINT),
        ("1'234,567.00", POINT), ("", POINT), ("abc", POINT), ("=1+1", POINT), ("#N/A", POINT), ("1e5", POINT),
        ("--1", POINT), ("-(1)", POINT), ("٣", POINT), (".", POINT), ("€", POINT), ("5 € USD", POINT), ("1_000", POINT),
        ("NaN", POINT), ("Infinity", POINT), ("12%", POINT),
    ],
)  # fmt: skip
def test_what_is_no_amount_in_this_notation_is_refused(text: str, mark: DecimalMark) -> None:
    assert refused("2026-06-01", text, decimal_mark=mark)[0] == Said.AMOUNT


@pytest.mark.parametrize(
    ("cells", "how", "why"),
    [
        (("2026-06-01", "1.234"), {}, (Said.AMOUNT, "too_precise")),
        (("2026-06-01", "1.50"), {"currency": "JPY"}, (Said.AMOUNT, "too_precise")),
        (("2026-06-01", "0.00"), {}, (Said.AMOUNT, "zero")),
        (("2026-06-01", "1" + "0" * 16), {}, (Said.AMOUNT, "too_much")),
        (("2026-06-01", "$5"), {}, (Said.AMOUNT, "other_currency")),
        (("2026-06-01", "$5"), {"currency": None}, (Said.CURRENCY, "ambiguous_currency")),
        (("2026-06-01", "5"), {"currency": None}, (Said.CURRENCY, "missing")),
        (("2026-06-01", "5"), {"currency": "ABC"}, (Said.CURRENCY, "unknown_currency")),
        (("2026-06-01", Merged(Decimal(5))), {}, (Said.AMOUNT, "merged")),
        (("2026-06-01", date(2026, 6, 1)), {}, (Said.AMOUNT, "not_an_amount")),
        (("2026-06-01", "5", "", "6"), {}, (None, "too_many_cells")),
        (("01.06.99", "5"), {"date_order": DateOrder.DMY}, (Said.DATE, "ambiguous_date")),
        (("", "5"), {}, (Said.DATE, "missing")),
        ((), {}, (Said.AMOUNT, "missing")),
        (("1989-06-01", "5"), {}, (Said.DATE, "implausible_date")),
        ((Decimal(46000), "5"), {}, (Said.DATE, "not_a_date")),
    ],
)  # fmt: skip
def test_each_bad_cell_is_named_with_its_reason(cells: Any, how: Any, why: Any) -> None:
    assert refused(*cells, **how) == why


@given(DAYS, st.sampled_from(DateOrder), st.sampled_from("-/. "), st.booleans())
def test_a_day_is_read_in_the_order_that_is_told(day: date, order: DateOrder, between: str, padded: bool) -> None:
    width = 2 if padded else 1
    parts = {"d": f"{day.day:0{width}}", "m": f"{day.month:0{width}}", "y": f"{day.year}"}
    shown = between.join(parts[each] for each in order.value)
    if order is DateOrder.YMD and between == " ":
        return
    assert read_day(shown, order) == day


@given(DAYS, st.sampled_from(["%Y-%m-%d", "%Y-%m-%dT00:00:00Z", "%Y%m%d", "%d %b %Y", "%B %d, %Y", "%b %d, %Y"]),
       st.sampled_from([None, *DateOrder]))  # fmt: skip
def test_a_day_that_can_be_read_in_one_way_is_in_any_order(day: date, shape: str, order: DateOrder | None) -> None:
    assert read_day(day.strftime(shape), order) == day
    assert read_day(Merged(day), order) == day


@given(DAYS)
def test_without_an_order_a_day_that_could_be_two_is_refused(day: date) -> None:
    shown = day.strftime("%d/%m/%Y")
    if day.day <= 12 and day.day != day.month:
        assert refused(shown, "5") == (Said.DATE, "ambiguous_date")
    else:
        assert read_day(shown, None) == day


def test_the_same_is_told_with_other_words_only_where_a_reference_says_so() -> None:
    one = Spent(date(2026, 6, 1), "EUR", 100, "Ads", "R1", "clicks")
    assert one.identity == Spent(date(2026, 6, 1), "EUR", 100, "ADS ", "R1", "other words").identity
    for other in (
        Spent(date(2026, 6, 2), "EUR", 100, "Ads", "R1"), Spent(date(2026, 6, 1), "USD", 100, "Ads", "R1"),
        Spent(date(2026, 6, 1), "EUR", 101, "Ads", "R1"), Spent(date(2026, 6, 1), "EUR", 100, "Ads", "R2"),
        Spent(date(2026, 6, 1), "EUR", 100, "Ads", "R1", line="A"),
    ):  # fmt: skip
        assert one.identity != other.identity
    bare = Spent(date(2026, 6, 1), "EUR", 100, "Ads", "", "clicks")
    assert bare.identity != Spent(date(2026, 6, 1), "EUR", 100, "Ads", "", "other words").identity
    assert len(claim_of(bare.identity, None)) == len(bare.identity) == 32


CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


@given(
    st.lists(st.tuples(DAYS, st.integers(1, 10**9), CELLS), min_size=1, max_size=8), st.sampled_from(DELIMITERS),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]),
    st.sampled_from(["\n", "\r\n"]), st.integers(0, 5),
)  # fmt: skip
def test_a_text_file_is_read_as_it_was_written(
    rows: list[tuple[date, int, str]], delimiter: str, encoding: str, ending: str, above: int
) -> None:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator=ending)
    writer.writerows([["Some bank"]] * above + [["Date", " amount ", "TEXT"]])
    for day, minor, words in rows:
        clean = " ".join(words.split())
        writer.writerow([day.isoformat(), written(minor, POINT, ""), clean])
    found = read_file(out.getvalue().encode(encoding), None, WANTED)
    kept = [row for chunk in found.chunks for row in unpack(chunk)]
    spent = [read_row(cells or (), found.at, found.width, How(currency="EUR"), PLACES) for _, cells in kept]
    assert [(each.dated, each.minor) for each in spent] == [(day, minor) for day, minor, _ in rows]
    assert [each.description for each in spent] == [" ".join(words.split()).strip() for *_, words in rows]


def test_old_spreadsheets_text_is_cp1252() -> None:
    assert decoded("Müller 5 €".encode("cp1252")) == "Müller 5 €"


def test_a_quotation_mark_that_is_never_closed_costs_its_own_line() -> None:
    lines = ["Date,Amount,Text", '2026-06-01,1,"open', "2026-06-02,2,fine", '2026-06-03,3,5" disk', '2026-06-04,4,"a',
             'b"',
             "2026-06-05,5,end"]  # fmt: skip
    _, _, rows = text_rows("\n".join(lines), WANTED)
    found = dict(rows)
    assert found[2] is None
    assert sorted(found) == [2, 3, 4, 5, 7]
    assert [found[each][2] for each in (3, 4, 5, 7)] == ["fine", '5" disk', "a\nb", "end"]  # type: ignore[index]


@given(st.binary(max_size=300))
def test_no_bytes_crash_the_reader(data: bytes) -> None:
    for sent in (
        data,
        b"Date,Amount,Text\n" + data,
        b"PK\x03\x04" + data,
        "Date\tAmount\tText\n".encode("utf-16") + data,
    ):
        try:
            found = read_file(sent, None, WANTED)
        except FileProblem:
            continue
        for number, cells in (row for chunk in found.chunks for row in unpack(chunk)):
            assert number > 0
            try:
                read_row(cells or (), found.at, found.width, How(currency="EUR"), PLACES)
            except Unreadable:
                continue


@given(st.text(max_size=60), st.sampled_from(DecimalMark), st.sampled_from([None, *DateOrder]))
def test_no_cell_crashes_the_reader(text: str, mark: DecimalMark, order: DateOrder | None) -> None:
    for cells in (("2026-06-01", text), (text, "5"), (text, text, text)):
        try:
            found = read(*cells, decimal_mark=mark, date_order=order)
        except Unreadable:
            continue
        assert found.minor


PLAIN: Any = st.one_of(
    st.none(), st.text(st.characters(exclude_categories=["Cs"]), max_size=9), st.decimals(allow_nan=False,
    allow_infinity=False), DAYS,
)  # fmt: skip


@given(
    st.lists(st.tuples(st.integers(1, 10**6), st.none() | st.lists(PLAIN | PLAIN.map(Merged), max_size=4)), max_size=4)
)
def test_rows_are_unpacked_as_they_were_packed(rows: list[Row]) -> None:
    assert unpack(pack(rows)) == rows


def test_a_sheets_far_corner_costs_nothing() -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(["Date", "Amount", "Text"])
    sheet.append([date(2026, 6, 1), 5, "fine"])
    sheet["XFD3"] = "far"
    sheet["A1000"] = "below"
    out = io.BytesIO()
    book.save(out)
    found = read_file(out.getvalue(), None, WANTED)
    assert [number for chunk in found.chunks for number, _ in unpack(chunk)] == [2, 1000]


def test_amounts_of_spreadsheets_are_what_they_show() -> None:
    assert read_amount(Decimal("0.3"), POINT) == (Decimal("0.3"), frozenset())


@pytest.mark.parametrize("cell", ["1" + "a" * 300_000 + "1", "a" * 300_000, "1" * 300_000, "(" * 300_000])
def test_a_long_cell_takes_no_longer_than_it_is_long(cell: str) -> None:
    for order in (*DateOrder, None):
        with pytest.raises(Unreadable):
            read_day(cell, order)
    with pytest.raises(Unreadable):
        read_amount(cell, COMMA)
    with pytest.raises(Unreadable):
        read(date(2026, 6, 1), cell, None)


def test_what_only_looks_like_merged_cells_takes_no_longer_than_it_is_long() -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(["Date", "Amount", "Text"])
    sheet.append([date(2026, 6, 1), 5, "fine"])
    plain, patched = io.BytesIO(), io.BytesIO()
    book.save(plain)
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(patched, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            text = source.read(name)
            if name.endswith("sheet1.xml"):
                text = text.replace(b"</worksheet>", b"<!-- " + b"<mergeCell " * 300_000 + b" --></worksheet>")
            target.writestr(name, text)
    assert read_file(patched.getvalue(), None, WANTED).rows == 1
