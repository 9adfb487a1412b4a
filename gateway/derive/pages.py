"""Decides what part of a list is asked for, where it begins and ends, and what a place in it is called."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chassis.paging import MOST
from gateway.derive.contract import Operation
from gateway.execution.limits import DEFAULT_FIRST
from gateway.failures import GraphFailure


@dataclass(frozen=True)
class Position:
    """Where a page begins: a service's own cursor, and how many items after it were seen already. So an item's cursor
    needs no knowledge of how services make theirs."""

    cursor: str | None
    skip: int

    def encoded(self) -> str:
        return base64.urlsafe_b64encode(f"{self.skip}:{self.cursor or ''}".encode()).decode().rstrip("=")

    @classmethod
    def decoded(cls, text: str | None) -> "Position":
        if text is None:
            return cls(None, 0)
        try:
            plain_text = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
            skip, _, cursor = plain_text.partition(":")
            return cls(cursor or None, max(int(skip), 0))
        except (ValueError, binascii.Error):
            raise GraphFailure("BAD_USER_INPUT", "`after` isn't a cursor of this list") from None


@dataclass(frozen=True, slots=True)
class Slice:
    """The part of a list that was asked for: its rows, and each one's place after `start`."""

    rows: list[Any]
    places: Sequence[int]
    start: Position
    end: Position
    has_more: bool

    @classmethod
    def of(cls, page: Any, start: Position) -> "Slice":
        rows, cursor = page.items, page.next_cursor
        end = Position(cursor, 0) if cursor else Position(start.cursor, len(rows))
        return cls(rows[start.skip :], range(start.skip, len(rows)), start, end, cursor is not None)


@dataclass(frozen=True, slots=True)
class Edge:
    """A row, and where its list goes on after it."""

    slice: Slice
    place: int
    row: Any

    def cursor(self) -> str:
        return Position(self.slice.start.cursor, self.place + 1).encoded()


def wanted(arguments: dict[str, Any]) -> tuple[int, Position]:
    """How many items from where."""
    first = arguments.get("first")
    first = DEFAULT_FIRST if first is None else first
    if not 1 <= first <= MOST:
        raise GraphFailure("BAD_USER_INPUT", f"`first` is between 1 and {MOST}")
    return first, Position.decoded(arguments.get("after"))


def query_of(operation: Operation, arguments: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The operation's query parameters among a field's arguments, as they go into the URL."""
    found: list[tuple[str, str]] = []
    for name in operation.query:
        value = arguments.get(name)
        if value is not None:
            found.extend((name, _text(each)) for each in (value if isinstance(value, list) else [value]))
    return found


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
