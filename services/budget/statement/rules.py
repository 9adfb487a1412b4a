"""Decides what can become of an import and of each of its rows, and how rows are kept between reading and posting."""

import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

from chassis.errors import Conflict
from services.budget.mapping.rules import Cell, Merged


class StatementState(StrEnum):
    """pending -> running -> done; done -> undoing -> undone; failed when the file as a whole can't be read, or when it
    was given up on the way, from where it can be resumed."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    UNDOING = "undoing"
    UNDONE = "undone"


UNDER_WAY = frozenset({StatementState.PENDING, StatementState.RUNNING, StatementState.UNDOING})


class RowOutcome(StrEnum):
    """What became of a row; in a dry run what would. An `exception` can be read, and not posted; `bad` can't."""

    POSTED = "posted"
    EXCEPTION = "exception"
    DUPLICATE = "duplicate"
    BAD = "bad"
    UNDONE = "undone"


class FileProblem(Exception):
    """Why nothing of a file can be taken: a code, and words for a person."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


# A row as it is read: its number in the file and its cells; None: they can't be told apart.
Row = tuple[int, Sequence[Cell] | None]

MOST_ROWS = 500_000
MOST_COLUMNS = 200
# What may stand above the header.
MOST_BEFORE = 50
CHUNK = 2000
# The problem of an import that kept failing on its way.
GIVEN_UP = "given_up"

WORDS: Mapping[str, str] = {
    "missing_line": "neither the row nor the mapping says whose money it is",
    "unknown_line": "no line is called so, and the mapping names none for it",
    "ambiguous_line": "several lines are called so: say in the mapping which is meant",
    "unknown_order": "no order has this number",
    "credit_of_order": "what comes back of an order is settled by reversing its invoice",
    "invoice_exists": "an invoice of this number is there already",
    "no_rate": "no exchange rate of this day is known: import one",
    "period_closed": "this day is in a closed period",
    "does_not_fit": "the line has less available",
    "not_spent": "more would come back than was spent on the line",
    "too_much": "the line can't hold that much",
    "over_tolerance": "more than its order allows",
    "not_received": "more than has arrived of its order",
    "not_ordered": "its order is closed or was never placed",
    "other_vendor": "its order is with another vendor",
    "other_currency": "its order is in another currency",
    "other_line": "its order has nothing committed on this line",
    "several_orders": "it may be of several orders",
    "quotes": "a quotation mark in it is never closed",
    "duplicate": "it tells of the same as an earlier row",
}


def words(code: str) -> str:
    return WORDS.get(code, code.replace("_", " "))


def assert_postable(state: StatementState, *, dry_run: bool) -> None:
    """Raises Conflict unless it is a dry run that is over."""
    if not dry_run:
        raise Conflict("it isn't a dry run: it is posted, or will be", code="not_dry_run")
    if state is not StatementState.DONE:
        raise Conflict(f"the dry run is {state}", code="not_done")


def assert_undoable(state: StatementState, problem: str | None, *, dry_run: bool) -> None:
    """Raises Conflict unless something may be posted of it, and nothing more is on its way."""
    if dry_run:
        raise Conflict("a dry run posts nothing", code="dry_run")
    if state is not StatementState.DONE and problem != GIVEN_UP:
        raise Conflict(f"the import is {state}; only what is done can be undone", code="not_done")


def resumed(state: StatementState, problem: str | None, *, undoing: bool, chunks: int) -> StatementState:
    """Where an import goes on that was given up; Conflict for any other."""
    if state is not StatementState.FAILED or problem != GIVEN_UP:
        raise Conflict(f"only an import that was given up goes on; this one is {state}", code="not_given_up")
    if undoing:
        return StatementState.UNDOING
    return StatementState.RUNNING if chunks else StatementState.PENDING


def claim_of(identity: bytes, rehearsing: UUID | None) -> bytes:
    """What only one row can hold: of the workspace, or among those of one dry run."""
    return hashlib.sha256(rehearsing.bytes + identity).digest() if rehearsing else identity


def pack(rows: Sequence[Row]) -> bytes:
    """Rows as they are kept until they are posted."""
    told = [[number, None if cells is None else [_packed(cell) for cell in cells]] for number, cells in rows]
    return zlib.compress(json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode(), 1)


def unpack(kept: bytes) -> list[Row]:
    """What `pack` made."""
    return [
        (number, None if cells is None else [_unpacked(cell) for cell in cells])
        for number, cells in json.loads(zlib.decompress(kept))
    ]


def _packed(cell: Cell) -> Any:
    if isinstance(cell, Merged):
        return {"m": _packed(cell.value)}
    if isinstance(cell, Decimal):
        return {"n": str(cell)}
    return {"d": cell.isoformat()} if isinstance(cell, date) else cell


def _unpacked(kept: Any) -> Cell:
    if not isinstance(kept, dict):
        text: str | None = kept
        return text
    ((kind, value),) = kept.items()
    if kind == "m":
        inner = _unpacked(value)
        return inner if isinstance(inner, Merged) else Merged(inner)
    return Decimal(value) if kind == "n" else date.fromisoformat(value)
