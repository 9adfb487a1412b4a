"""Decides what a row of somebody else's file says: its day, its amount, whose it is; or which cell can't be read, and
why. Nothing is guessed: what can be read in two ways is refused."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum


class FileKind(StrEnum):
    """Where a file comes from."""

    BANK = "bank"
    CARD = "card"
    ERP = "erp"
    ADS = "ads"


class Said(StrEnum):
    """What a column can say of a row."""

    DATE = "date"
    AMOUNT = "amount"
    DEBIT = "debit"
    CREDIT = "credit"
    CURRENCY = "currency"
    VENDOR = "vendor"
    REFERENCE = "reference"
    DESCRIPTION = "description"
    PO_NUMBER = "po_number"
    LINE = "line"


class DateOrder(StrEnum):
    """In which order a day's numbers are written. A year of four digits that comes first is read as such anyway."""

    DMY = "dmy"
    MDY = "mdy"
    YMD = "ymd"


class DecimalMark(StrEnum):
    """What stands between the whole and its fraction."""

    POINT = "point"
    COMMA = "comma"


class SpendingSign(StrEnum):
    """The sign of what was spent: a bank's debits are mostly negative. With two columns, that of the debits."""

    POSITIVE = "positive"
    NEGATIVE = "negative"


@dataclass(frozen=True)
class Merged:
    """A cell below or beside the first of several that were merged, with what stands in that one."""

    value: "str | Decimal | date | None"


Cell = str | Decimal | date | Merged | None
# How many decimals a currency has; None: no such currency.
Places = Callable[[str], int | None]


@dataclass(frozen=True)
class How:
    """How a file's rows are to be read."""

    date_order: DateOrder | None = None
    decimal_mark: DecimalMark = DecimalMark.POINT
    spending: SpendingSign = SpendingSign.POSITIVE
    currency: str | None = None


@dataclass(frozen=True)
class Spent:
    """What a row says was spent, in minor units of its currency; below zero: what came back. `line` is what its cell
    says, in the file's own words."""

    dated: date
    currency: str
    minor: int
    vendor: str = ""
    reference: str = ""
    description: str = ""
    po_number: str = ""
    line: str = ""

    @property
    def identity(self) -> bytes:
        """Equal for two rows that tell of the same: all that they say, or with a reference all but the description,
        which some banks word anew in each file."""
        told = "" if self.reference else _plain(self.description)
        parts = [self.dated.isoformat(), self.currency, self.minor, _plain(self.vendor), self.reference, told,
                 self.po_number, _plain(self.line)]  # fmt: skip
        return hashlib.sha256(json.dumps(parts).encode()).digest()


class Unreadable(Exception):
    """Why a row can't be taken: which field, a code, words for a person."""

    def __init__(self, field: str | None, code: str, message: str) -> None:
        super().__init__(message)
        self.field, self.code, self.message = field, code, message


LONGEST = {Said.VENDOR: 200, Said.REFERENCE: 200, Said.PO_NUMBER: 100, Said.LINE: 200}
LONGEST_DESCRIPTION = 1000
LONGEST_AMOUNT = 100
# Ten million millions: more is no amount of anybody's, and less can be added up nine thousand times.
LARGEST = 10**15
FIRST_DAY, LAST_DAY = date(1990, 1, 1), date(2200, 1, 1)
# From here on a year of two digits is a day of the last century as well as of this one.
FIRST_OF_TWO_CENTURIES = 90

_SPACES = re.compile(r"\s+")
_GROUPED = {
    name: re.compile(
        rf"(\d*|\d{{1,3}}(?:(?P<sep>[{other} '\u2019])\d{{3}})(?:(?P=sep)\d{{3}})*)(?:{re.escape(mark)}(\d*))?",
        re.ASCII,
    )
    for name, mark, other in ((DecimalMark.POINT, ".", ","), (DecimalMark.COMMA, ",", "."))
}
_MINUS = "-\u2212\u2013"
# What a sign may stand for; a letter before the dollar's (US$) says which.
SIGNS: Mapping[str, frozenset[str]] = {
    "€": frozenset({"EUR"}),
    "£": frozenset({"GBP"}),
    "¥": frozenset({"JPY", "CNY"}),
    "￥": frozenset({"JPY", "CNY"}),
    "$": frozenset({"USD", "CAD", "AUD", "NZD", "SGD", "HKD", "MXN", "TWD", "CLP", "COP", "ARS"}),
    "US$": frozenset({"USD"}),
    "C$": frozenset({"CAD"}),
    "CA$": frozenset({"CAD"}),
    "A$": frozenset({"AUD"}),
    "AU$": frozenset({"AUD"}),
    "zł": frozenset({"PLN"}),
    "Kč": frozenset({"CZK"}),
    "kr": frozenset({"SEK", "NOK", "DKK", "ISK"}),
    "Fr": frozenset({"CHF"}),
    "₹": frozenset({"INR"}),
    "₺": frozenset({"TRY"}),
}
_AROUND = re.compile(
    r"(?P<before>[^\d(\-\u2212\u2013+.,]*)(?P<number>.*?)(?P<after>[^\d)\-\u2212\u2013+.,]*)", re.DOTALL
)
_MONTHS = {name: number for number, name in enumerate(
    ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), 1)}  # fmt: skip
_MONTHS |= {"january": 1, "february": 2, "march": 3, "april": 4, "june": 6, "july": 7, "august": 8, "september": 9,
            "sept": 9, "october": 10, "november": 11, "december": 12}  # fmt: skip
_ISO = re.compile(r"(\d{4})([-/.])(\d{1,2})\2(\d{1,2})(?:[T ].{0,40})?", re.ASCII)
_COMPACT = re.compile(r"(\d{4})(\d{2})(\d{2})", re.ASCII)
_NUMBERS = re.compile(r"(\d{1,2})([-/. ])(\d{1,2})\2(\d{4}|\d{2})(?: \d{1,2}:\d{2}(?::\d{2})?)?", re.ASCII)
_DAY_MONTH = re.compile(r"(\d{1,2})\.?[ -]([A-Za-z]{3,9})\.?,?[ -](\d{4})", re.ASCII)
_MONTH_DAY = re.compile(r"([A-Za-z]{3,9})\.? (\d{1,2}),? (\d{4})", re.ASCII)


def heading(cell: Cell) -> str:
    """A column's name as it is compared: without case, and with single spaces."""
    return _plain(_text(cell))


def find_columns(wanted: Mapping[Said, str], row: Sequence[Cell]) -> tuple[dict[Said, int], list[str]]:
    """Where in a header's row the wanted columns are, and the names of those that aren't there or are there twice."""
    names = [heading(cell) for cell in row]
    found: dict[Said, int] = {}
    missing = []
    for said, name in wanted.items():
        if names.count(_plain(name)) == 1:
            found[said] = names.index(_plain(name))
        else:
            missing.append(name)
    return found, missing


def read_row(cells: Sequence[Cell], at: Mapping[Said, int], width: int, how: How, places: Places) -> Spent:
    """What a row below a header of so many columns says. Unreadable says which cell isn't as it should be."""
    if any(_text(cell) for cell in cells[width:]):
        raise Unreadable(None, "too_many_cells", f"there are more cells than the {width} columns of the header")

    def cell(said: Said) -> Cell:
        place = at.get(said)
        return cells[place] if place is not None and place < len(cells) else None

    texts = {said: read_text(said, cell(said)) for said in LONGEST}
    named = read_currency(cell(Said.CURRENCY)) or how.currency
    said, written = amount_cell({said: cell(said) for said in (Said.AMOUNT, Said.DEBIT, Said.CREDIT) if said in at})
    amount, stated = read_amount(written, how.decimal_mark, said)
    currency = _agreed(named, stated, said)
    digits = places(currency)
    if digits is None:
        raise Unreadable(Said.CURRENCY, "unknown_currency", f"no currency is called {_told(currency)}")
    minor = _minor(amount, digits, currency, said)
    # A credit is what came back, whatever sign debits have.
    if said is Said.CREDIT or how.spending is SpendingSign.NEGATIVE:
        minor = -minor
    return Spent(
        dated=read_day(cell(Said.DATE), how.date_order), currency=currency, minor=minor, vendor=texts[Said.VENDOR],
        reference=texts[Said.REFERENCE], description=_text(cell(Said.DESCRIPTION))[:LONGEST_DESCRIPTION],
        po_number=texts[Said.PO_NUMBER], line=texts[Said.LINE],
    )  # fmt: skip


def read_text(said: Said, cell: Cell) -> str:
    text = _text(cell)
    if len(text) > LONGEST[said]:
        raise Unreadable(said, "too_long", f"{LONGEST[said]} characters at most")
    return text


def read_currency(cell: Cell) -> str | None:
    """An ISO 4217 code, or nothing."""
    text = _text(cell).upper()
    if text and not (len(text) == 3 and text.isascii() and text.isalpha()):
        raise Unreadable(Said.CURRENCY, "unknown_currency", f"no currency is called {_told(text)}")
    return text or None


_NOTHING = re.compile(r"[-\u2212\u2013]?[0.,]*[-\u2212\u2013]?", re.ASCII)


def amount_cell(cells: Mapping[Said, Cell]) -> tuple[Said, Cell]:
    """Which column has a row's amount, and what stands there: of a debit and a credit the one that isn't empty or
    zero."""
    if Said.AMOUNT in cells:
        return Said.AMOUNT, cells[Said.AMOUNT]
    filled = [said for said, cell in cells.items() if not _is_nothing(_text(cell))]
    if len(filled) > 1:
        raise Unreadable(Said.DEBIT, "debit_and_credit", "there is a debit and a credit: one of them is the amount")
    said = next(iter(filled), Said.DEBIT)
    return said, cells[said]


def _is_nothing(text: str) -> bool:
    number = _without_sign(text)[0]
    return not text or bool(number and _NOTHING.fullmatch(number))


def read_amount(cell: Cell, mark: DecimalMark, said: Said = Said.AMOUNT) -> tuple[Decimal, frozenset[str]]:
    """The number in a cell, and which currencies its sign may stand for; none: it has no sign."""
    if isinstance(cell, Merged):
        raise Unreadable(said, "merged", "an amount in merged cells counts in the first of them only")
    if isinstance(cell, Decimal):
        return cell, frozenset()
    text = _SPACES.sub(" ", _text(cell))
    if not text:
        raise Unreadable(said, "missing", "there is no amount")
    if text.startswith("=") or text.startswith("#") or isinstance(cell, date):
        raise Unreadable(said, "not_an_amount", f"{_told(text)} is a formula, an error or a day, no amount")
    number, stated = _without_sign(text)
    negative = False
    if number.startswith("(") and number.endswith(")"):
        number, negative = number[1:-1].strip(), True
        if not stated:
            number, stated = _without_sign(number)
    elif number[:1] in _MINUS or number[-1:] in _MINUS:
        trailing = number[-1:] in _MINUS
        number, negative = (number[:-1] if trailing else number[1:]).strip(), True
        if not stated:
            number, stated = _without_sign(number)
    elif number[:1] == "+":
        number = number[1:].strip()
    found = _GROUPED[mark].fullmatch(number) if number.isascii() or "\u2019" in number else None
    if found is None or len(number) > 40 or not any(each.isdigit() for each in number):
        raise Unreadable(said, "not_an_amount", f"{_told(text)} is no amount with a decimal {mark}")
    whole = re.sub(r"\D", "", found[1])
    value = Decimal(f"{whole}.{found[3] or '0'}")
    return (-value if negative else value), stated


def _without_sign(text: str) -> tuple[str, frozenset[str]]:
    """A number without the currency before and behind it, and what that may be."""
    # To look for both ends of a text takes as long as its length squared.
    parts = _AROUND.fullmatch(text) if len(text) <= LONGEST_AMOUNT else None
    words = [word for word in (parts["before"].strip(), parts["after"].strip()) if word] if parts else []
    if parts is None or not words:
        return text, frozenset()
    stated = frozenset.intersection(*(_meant(word) for word in words))
    return (parts["number"].strip(), stated) if stated else (text, frozenset())


def _meant(word: str) -> frozenset[str]:
    if word in SIGNS:
        return SIGNS[word]
    return frozenset({word.upper()}) if len(word) == 3 and word.isascii() and word.isalpha() else frozenset()


def _agreed(named: str | None, stated: frozenset[str], field: Said) -> str:
    if named is None:
        if len(stated) == 1:
            return next(iter(stated))
        code = "ambiguous_currency" if stated else "missing"
        raise Unreadable(Said.CURRENCY, code, "it isn't said in which currency this is")
    if stated and named not in stated:
        said = " or ".join(sorted(stated)[:3])
        raise Unreadable(field, "other_currency", f"the amount is in {said}, and the row in {named}")
    return named


def _minor(amount: Decimal, places: int, currency: str, said: Said) -> int:
    if not amount.is_finite() or abs(amount) > LARGEST:
        raise Unreadable(said, "too_much", "no amount is as large as this")
    minor = amount.scaleb(places)
    if minor != minor.to_integral_value():
        raise Unreadable(said, "too_precise", f"{currency} has {places} decimals")
    if not minor:
        raise Unreadable(said, "zero", "nothing was spent")
    if abs(minor) > LARGEST:
        raise Unreadable(said, "too_much", "no amount is as large as this")
    return int(minor)


def read_day(cell: Cell, order: DateOrder | None) -> date:
    """The day in a cell. Numbers alone are read in the order that is told, and in none that isn't."""
    value = cell.value if isinstance(cell, Merged) else cell
    if isinstance(value, datetime):
        value = value.date()
    day = value if isinstance(value, date) else _day_of(_text(value), order)
    if not FIRST_DAY <= day <= LAST_DAY:
        raise Unreadable(Said.DATE, "implausible_date", f"days are from {FIRST_DAY} to {LAST_DAY}")
    return day


def _day_of(text: str, order: DateOrder | None) -> date:
    text = _SPACES.sub(" ", text)
    if not text:
        raise Unreadable(Said.DATE, "missing", "there is no date")
    if found := _ISO.fullmatch(text):
        return _day(text, found[1], found[3], found[4])
    if found := _COMPACT.fullmatch(text):
        return _day(text, found[1], found[2], found[3])
    if (found := _DAY_MONTH.fullmatch(text)) and (month := _MONTHS.get(found[2].lower())):
        return _day(text, found[3], str(month), found[1])
    if (found := _MONTH_DAY.fullmatch(text)) and (month := _MONTHS.get(found[1].lower())):
        return _day(text, found[3], str(month), found[2])
    numbers = _NUMBERS.fullmatch(text)
    if numbers is None:
        raise Unreadable(Said.DATE, "not_a_date", f"{_told(text)} is no day")
    return _in_order(text, numbers[1], numbers[3], numbers[4], order)


def _in_order(text: str, first: str, second: str, third: str, order: DateOrder | None) -> date:
    if order is DateOrder.YMD:
        if len(first) != 2 or len(third) != 2:
            raise Unreadable(Said.DATE, "not_a_date", f"{_told(text)} doesn't begin with a year")
        return _day(text, _century(text, first), second, third)
    year = third if len(third) == 4 else _century(text, third)
    if order is DateOrder.DMY:
        return _day(text, year, second, first)
    if order is DateOrder.MDY:
        return _day(text, year, first, second)
    if len(third) == 4 and first == second:
        return _day(text, year, first, second)
    if len(third) == 4 and int(first) > 12:
        return _day(text, year, second, first)
    if len(third) == 4 and int(second) > 12:
        return _day(text, year, first, second)
    raise Unreadable(Said.DATE, "ambiguous_date", f"{_told(text)} is a day in more than one order: tell which is meant")


def _century(text: str, year: str) -> str:
    if int(year) >= FIRST_OF_TWO_CENTURIES:
        raise Unreadable(Said.DATE, "ambiguous_date", f"{_told(text)} may be in this century or the last")
    return f"20{year}"


def _day(text: str, year: str, month: str, day: str) -> date:
    try:
        return date(int(year), int(month), int(day))
    except ValueError:
        raise Unreadable(Said.DATE, "not_a_date", f"{_told(text)} is no day") from None


def _text(cell: Cell) -> str:
    value = cell.value if isinstance(cell, Merged) else cell
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return format(value, "f")
    return value.isoformat() if isinstance(value, date) else value.replace("\u00a0", " ").replace("\u202f", " ").strip()


def _plain(text: str) -> str:
    return _SPACES.sub(" ", text.replace("\ufeff", "")).strip().casefold()


def _told(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:40]}\u2026")
