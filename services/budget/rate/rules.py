"""Decides what an exchange rate is, what an amount is in another currency, and how one is split: exact, half-even, and
never a minor unit more or less than there was."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal

from chassis.errors import Conflict, Invalid

HUB = "EUR"
# The ECB names no rates at weekends and on holidays; older than this, a rate says nothing of the day that is asked for.
OLDEST = timedelta(days=92)
# What a pinned rate is kept with. Enough for rupiah in dinars; amounts have 19 digits at most.
SIGNIFICANT = Context(prec=18, rounding=ROUND_HALF_EVEN)
_EXACT = Context(prec=60, rounding=ROUND_HALF_EVEN)
# Beyond this a number is no rate of anything, and products of it might not fit.
SMALLEST, LARGEST = Decimal("1e-9"), Decimal("1e9")


@dataclass(frozen=True)
class Rate:
    """How much of `into` one `currency` is, as of `day`. `shift`: decimals that `into` has more than `currency`."""

    currency: str
    into: str
    value: Decimal
    day: date
    shift: int = 0

    def of(self, minor: int) -> int:
        """Minor units of `into`, a half to the even neighbour, as banks round."""
        exact = _EXACT.multiply(Decimal(minor), self.value).scaleb(self.shift, _EXACT)
        return int(exact.quantize(Decimal(1), context=_EXACT))


@dataclass(frozen=True)
class Quote:
    """What one euro was in a currency, and when."""

    per_euro: Decimal
    day: date


def same(currency: str, day: date) -> Rate:
    """The rate of a currency in itself."""
    return Rate(currency, currency, Decimal(1), day)


def cross(currency: str, into: str, day: date, quotes: Mapping[str, Quote], shift: int) -> Rate:
    """The rate by way of the euro, from the last quotes known on a day; Conflict `no_rate` when one is missing or too
    old. It is as of the older of the two."""
    if currency == into:
        return same(currency, day)
    found = []
    for each in (currency, into):
        quote = Quote(Decimal(1), day) if each == HUB else quotes.get(each)
        if quote is None or day - quote.day > OLDEST:
            last = f"the last one is of {quote.day}" if quote else "there is none"
            raise Conflict(f"no rate of {each} on {day}: {last}; import newer ones", code="no_rate")
        found.append(quote)
    one, other = found
    value = SIGNIFICANT.divide(other.per_euro, one.per_euro)
    return Rate(currency, into, value, min(one.day, other.day), shift)


def split(total: int, weights: Sequence[int]) -> list[int]:
    """Parts of an amount in proportion to weights that aren't negative: each as close as whole minor units allow, and
    together exactly the amount. What is left after rounding down goes to the largest remainders, the first ones where
    they are equal. Equal parts where all weights are zero."""
    if not weights:
        raise ValueError("nothing to split over")
    shares = list(weights) if any(weights) else [1] * len(weights)
    whole, sign = sum(shares), -1 if total < 0 else 1
    parts, rests = zip(*(divmod(abs(total) * share, whole) for share in shares), strict=True)
    first = sorted(range(len(shares)), key=lambda place: -rests[place])[: abs(total) - sum(parts)]
    return [sign * (part + (place in first)) for place, part in enumerate(parts)]


def read_table(lines: Sequence[str]) -> list[tuple[str, date, Decimal]]:
    """Currency, day and rate per euro from a table as the ECB publishes it: a row of names, `Date` first, and a row of
    numbers for each day. Invalid, naming the row, where a cell is neither a rate nor empty or N/A."""
    rows = [[cell.strip("\ufeff \t\r") for cell in line.split(",")] for line in lines if line.strip(" ,\r\n\ufeff")]
    if not rows or rows[0][0].lower() != "date":
        raise Invalid.field("csv", "the first row begins with Date and goes on with currencies", "no_header")
    names = rows[0][1:]
    if wrong := next((name for name in names if name and not (len(name) == 3 and name.isalpha())), None):
        raise Invalid.field("csv", f"row 1: no currency is called {wrong[:20]}", "unknown_currency")
    found = []
    for number, (day_text, *cells) in enumerate(rows[1:], 2):
        try:
            day = _day(day_text)
        except ValueError:
            raise Invalid.field("csv", f"row {number}: begin it with a day like 2026-03-02", "no_day") from None
        for name, cell in zip(names, cells, strict=False):
            if name and cell not in ("", "N/A"):
                found.append((name.upper(), day, _rate(cell, number)))
    if not found:
        raise Invalid.field("csv", "no rate is in it", "empty")
    return found


def _day(cell: str) -> date:
    # As the table of all days has it, or that of the last one: 2 March 2026.
    return date.fromisoformat(cell) if "-" in cell else datetime.strptime(cell, "%d %B %Y").date()


def _rate(cell: str, number: int) -> Decimal:
    # Only what a published table holds: no exponents, no infinities, no underscores.
    plain = len(cell) <= 20 and cell.isascii() and cell.replace(".", "", 1).isdigit()
    if not plain or not SMALLEST <= Decimal(cell) <= LARGEST:
        raise Invalid.field("csv", f"row {number}: {cell[:20]} is no rate", "no_rate")
    return Decimal(cell)
