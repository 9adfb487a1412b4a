"""Decides which rows a workbook (XLSX) holds. openpyxl reads it row by row, in Python: what a file claims of its size
costs nothing, and nothing in it can end the process."""

import io
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from itertools import islice
from typing import Any

from services.budget.mapping.rules import Cell, Merged, Said, find_columns
from services.budget.statement.rules import MOST_BEFORE, MOST_COLUMNS, FileProblem, Row
from services.budget.statement.text import missing_columns

MAGIC = b"PK\x03\x04"
OLD_MAGIC = b"\xd0\xcf\x11\xe0"
# Unpacked; a hundred thousand rows of ten cells are 60 MB.
MOST_BYTES = 200_000_000
MOST_MERGES = 100_000
# Within one element and near its beginning: however it is written, a megabyte is looked through once.
_MERGE = re.compile(rb'<(?:\w{1,20}:)?mergeCell\s[^<>]{0,100}?ref="([A-Z]{1,3})(\d{1,7}):[A-Z]{1,3}(\d{1,7})"')
_OVERLAP = 300


def workbook_rows(
    data: bytes, sheet: str | None, wanted: Mapping[Said, str]
) -> tuple[dict[Said, int], int, Iterator[Row]]:
    """Where the wanted columns are, how many columns the header has, and the rows below it; FileProblem as for text."""
    rows = _rows(data, sheet)
    least = list(wanted.values())
    for number, cells in islice(rows, MOST_BEFORE):
        found, missing = find_columns(wanted, cells or ())
        if not missing:
            width = max((place for place, cell in enumerate(cells or (), 1) if cell is not None), default=0)
            return found, width, ((below, row) for below, row in rows if below > number)
        least = min(least, missing, key=len)
    raise missing_columns(least)


def _rows(data: bytes, sheet: str | None) -> Iterator[Row]:
    # Here and nowhere else: it costs memory and a quarter of a second to whoever never gets a workbook.
    import openpyxl

    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
        if sum(each.file_size for each in archive.infolist()) > MOST_BYTES:
            raise FileProblem("too_large", f"unpacked, a workbook has {MOST_BYTES} bytes at most")
        book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True, keep_links=False)
        named = {each.title: each for each in book.worksheets}
        if not named or (sheet is not None and sheet not in named):
            raise FileProblem("unknown_sheet", f"its sheets are {', '.join(named)[:200]}")
        found: Any = named[sheet] if sheet is not None else next(iter(named.values()))
        # What a file says of its own extent is often wrong.
        found.reset_dimensions()
        merges = _merges(archive, found._worksheet_path)
        yield from _filled(found.iter_rows(max_col=MOST_COLUMNS + 1, values_only=True), merges)
    except FileProblem:
        raise
    except Exception as problem:  # whatever a broken file makes its reader stumble over
        raise FileProblem("not_a_table", "the workbook can't be read: is it damaged or encrypted?") from problem


def _merges(archive: zipfile.ZipFile, path: str) -> dict[int, list[tuple[int, int]]]:
    """By the row that they begin in: the column of cells merged downwards, and the last row that they cover."""
    found: dict[int, list[tuple[int, int]]] = {}
    rest, count = b"", 0
    with archive.open(path) as opened:
        while block := opened.read(1 << 20):
            text = rest + block
            end = 0
            for each in _MERGE.finditer(text):
                first, last, end = int(each[2]), int(each[3]), each.end()
                if last > first and count < MOST_MERGES:
                    found.setdefault(first, []).append((_column(each[1]), last))
                    count += 1
            rest = text[max(end, len(text) - _OVERLAP) :]
    return found


def _column(letters: bytes) -> int:
    place = 0
    for letter in letters:
        place = place * 26 + letter - 64
    return place - 1


def _filled(rows: Iterator[Sequence[Any]], merges: Mapping[int, Sequence[tuple[int, int]]]) -> Iterator[Row]:
    """Rows with what stands in merged cells in each row that these cover, empty rows left out."""
    below: dict[int, tuple[int, Cell]] = {}
    for number, values in enumerate(rows, 1):
        cells = [_cell(value) for value in values]
        if below:
            below = {place: kept for place, kept in below.items() if kept[0] >= number}
            covered = {place: kept for place, kept in below.items() if place < MOST_COLUMNS}
            if covered and any(cell is not None for cell in cells):
                cells += [None] * (max(covered) + 1 - len(cells))
                for place, (_, value) in covered.items():
                    if cells[place] is None and not isinstance(value, Merged):
                        cells[place] = Merged(value)
        for place, last in merges.get(number, ()):
            if place < len(cells) and cells[place] is not None:
                below[place] = last, cells[place]
        while cells and cells[-1] is None:
            cells.pop()
        if cells:
            yield number, cells


def _cell(value: Any) -> Cell:
    if value is None or isinstance(value, bool):
        return None if value is None else str(value).upper()
    if isinstance(value, int | float | Decimal):
        try:
            # As many digits as a spreadsheet knows: what it shows as 0.3 is 0.30000000000000004 in its file.
            number = Decimal(format(value, ".15g") if isinstance(value, float) else value)
        except (InvalidOperation, ValueError):
            return str(value)
        return number if number.is_finite() and abs(number) < 10**30 else str(value)
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    if isinstance(value, time | timedelta):
        return str(value)
    text = str(value).replace("\0", "\ufffd")
    return text if text.strip() else None
