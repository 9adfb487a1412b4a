"""Decides how a file of either kind becomes rows that wait to be posted, in chunks that each fit a transaction."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

from services.budget.mapping.rules import Said
from services.budget.statement.rules import CHUNK, MOST_ROWS, FileProblem, Row, pack
from services.budget.statement.text import decoded, text_rows
from services.budget.statement.workbook import MAGIC, OLD_MAGIC, workbook_rows


@dataclass(frozen=True)
class Read:
    """Where each column is, how many there are, and the rows in packed chunks."""

    at: Mapping[Said, int]
    width: int
    rows: int
    chunks: list[bytes]


def read_file(data: bytes, sheet: str | None, wanted: Mapping[Said, str]) -> Read:
    """All rows of a file. FileProblem when nothing of it can be taken; never another error, whatever the bytes are."""
    if data.startswith(OLD_MAGIC):
        raise FileProblem("not_a_table", "this is an old or an encrypted workbook: save it as XLSX or CSV")
    # What openpyxl warns of is how a file looks, and may quote its cells.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if data.startswith(MAGIC):
            at, width, rows = workbook_rows(data, sheet, wanted)
        else:
            at, width, rows = text_rows(decoded(data), wanted)
        count, chunks = 0, []
        waiting: list[Row] = []
        for row in rows:
            count += 1
            if count > MOST_ROWS:
                raise FileProblem("too_large", f"a file has {MOST_ROWS} rows at most")
            waiting.append(row)
            if len(waiting) == CHUNK:
                chunks.append(pack(waiting))
                waiting = []
    if waiting:
        chunks.append(pack(waiting))
    if not chunks:
        raise FileProblem("empty", "there is no row below the header")
    return Read(at, width, count, chunks)
