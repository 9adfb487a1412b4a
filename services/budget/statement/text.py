"""Decides which rows a text file holds: in which encoding it is, what separates its cells, where its header is."""

import codecs
import csv
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from services.budget.mapping.rules import Cell, Said, find_columns
from services.budget.statement.rules import MOST_BEFORE, MOST_COLUMNS, FileProblem, Row

DELIMITERS = ",;\t|"
# A quoted cell may go over so many lines.
LONGEST_CELL = 20
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
_SAMPLE = 2000


def decoded(data: bytes) -> str:
    """A file's text: by the mark that it begins with, as UTF-8, or as cp1252, which old spreadsheets write. FileProblem
    when it is none of these."""
    encoding = next((name for mark, name in _BOMS if data.startswith(mark)), None) or _unmarked(data)
    for each in (encoding, "cp1252") if encoding == "utf-8" else (encoding,):
        try:
            return data.decode(each).replace("\0", "\ufffd")
        except UnicodeDecodeError:
            continue
    raise FileProblem("encoding", "the text is neither UTF-8, UTF-16 nor cp1252: is it a table at all?")


def _unmarked(data: bytes) -> str:
    """UTF-16 without its mark has a zero beside every other letter."""
    sample = data[:_SAMPLE]
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    if odd > len(sample) // 4 > even:
        return "utf-16-le"
    return "utf-16-be" if even > len(sample) // 4 > odd else "utf-8"


def text_rows(text: str, wanted: Mapping[Said, str]) -> tuple[dict[Said, int], int, Iterator[Row]]:
    """Where the wanted columns are, how many columns the header has, and the rows below it. FileProblem
    `missing_columns` when no row near the top is such a header, whatever separates its cells."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    least: list[str] = list(wanted.values())
    for delimiter in DELIMITERS:
        for (_, cells), after in islice(_records(lines, 0, delimiter, None), MOST_BEFORE):
            found, missing = find_columns(wanted, cells or ())
            if not missing:
                width = len(cells or ())
                return found, width, (row for row, _ in _records(lines, after, delimiter, width))
            least = min(least, missing, key=len)
    raise missing_columns(least)


def missing_columns(names: Sequence[str]) -> FileProblem:
    told = ", ".join(names[:10])
    return FileProblem("missing_columns", f"no row in the first {MOST_BEFORE} has these as columns, once each: {told}")


def _records(lines: Sequence[str], first: int, delimiter: str, width: int | None) -> Iterator[tuple[Row, int]]:
    """The records from a line on, each with its line's number, empty ones left out; and where the next one begins.
    Quotation marks that are never closed cost their own line, and none after it."""
    at = first
    while at < len(lines):
        line, began = lines[at], at
        if '"' not in line:
            at += 1
            if line.strip(f" \t{delimiter}"):
                yield (began + 1, _cells(line.split(delimiter))), at
            continue
        taken, record = _quoted(lines, at, delimiter, width)
        at += taken
        if record is None or any(record):
            yield (began + 1, record if record is None else _cells(record)), at


def _quoted(lines: Sequence[str], at: int, delimiter: str, width: int | None) -> tuple[int, list[str] | None]:
    """A record with quotation marks, and how many lines it takes; None where it can't be told where it ends."""
    reader = csv.reader((f"{line}\n" for line in lines[at : at + LONGEST_CELL]), delimiter=delimiter, strict=True)
    try:
        record = next(reader)
    except (csv.Error, StopIteration):
        return 1, None
    # Over several lines it is one record only if it is as wide as the others.
    if reader.line_num > 1 and width is not None and len(record) != width:
        return 1, None
    return reader.line_num, record


def _cells(record: Sequence[str]) -> list[Cell]:
    return [cell or None for cell in record[: MOST_COLUMNS + 1]]
