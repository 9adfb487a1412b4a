"""Decides how cells become CSV that a spreadsheet shows and never runs."""

import csv
import io
from collections.abc import Iterable, Sequence
from decimal import Decimal

# What a spreadsheet takes for a formula when a cell begins with it, full-width forms and what it skips before included.
FORMULA = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")


def csv_lines(lines: Iterable[Sequence[object]]) -> str:
    """The lines as CSV. Numbers are numbers; of text, what a spreadsheet would run begins with an apostrophe."""
    written = io.StringIO()
    csv.writer(written).writerows([[_cell(cell) for cell in line] for line in lines])
    return written.getvalue()


def _cell(cell: object) -> object:
    if isinstance(cell, Decimal):
        return format(cell, "f")
    if cell is None or isinstance(cell, int | float):
        return cell
    text = str(cell)
    return f"'{text}" if text.startswith(FORMULA) or text.lstrip().startswith(FORMULA) else text
