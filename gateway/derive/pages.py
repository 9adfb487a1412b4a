"""Decides what part of a list is asked for, where it begins and ends, and what a place in it is called."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode
from zlib import crc32

from chassis.paging import MOST
from gateway.derive.contract import Operation
from gateway.execution.limits import DEFAULT_FIRST
from gateway.failures import GraphFailure


@dataclass(frozen=True)
class Position:
    """Where a page begins: a service's own cursor, and how many items after it were seen already. So an item's cursor
    needs no knowledge of how services make theirs. `of` is which list that is, in which order, narrowed to what: of
    another one it would name another place."""

    cursor: str | None
    skip: int
    of: str

    def encoded(self) -> str:
        plain_text = f"{self.skip}:{self.of}:{self.cursor or ''}"
        return base64.urlsafe_b64encode(plain_text.encode()).decode().rstrip("=")

    @classmethod
    def decoded(cls, text: str | None, of: str) -> "Position":
        if text is None:
            return cls(None, 0, of)
        try:
            plain_text = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
            skip, known_of, cursor = plain_text.split(":", 2)
            if known_of != of:
                raise ValueError
            return cls(cursor or None, max(int(skip), 0), of)
        except (ValueError, binascii.Error):
            words = "`after` isn't a cursor of this list in this order and with these filters"
            raise GraphFailure("BAD_USER_INPUT", words) from None


@dataclass(frozen=True, slots=True)
class Slice:
    """The part of a list that was asked for: its rows, and each one's place after the service's cursor that `start`
    has."""

    rows: list[Any]
    places: Sequence[int]
    start: Position
    end: Position
    has_more: bool

    @classmethod
    def of(cls, page: Any, start: Position) -> "Slice":
        rows, cursor = page.items, page.next_cursor
        end = Position(cursor, 0, start.of) if cursor else Position(start.cursor, len(rows), start.of)
        return cls(rows[start.skip :], range(start.skip, len(rows)), start, end, cursor is not None)

    @property
    def has_previous(self) -> bool:
        return self.start.cursor is not None or self.start.skip > 0

    @property
    def start_cursor(self) -> str | None:
        return self.after(self.places[0]) if self.rows else None

    @property
    def end_cursor(self) -> str | None:
        """None where nothing is and nothing follows; a page may be empty and not the last one."""
        return self.end.encoded() if self.rows or self.has_more else None

    def after(self, place: int) -> str:
        """Where the list goes on after a row. After the last one of a full page it goes on with the service's next, as
        no page has room for all that was seen and more."""
        if self.has_more and place == self.places[-1]:
            return self.end.encoded()
        return Position(self.start.cursor, place + 1, self.start.of).encoded()


@dataclass(frozen=True, slots=True)
class Edge:
    """A row, and where its list goes on after it."""

    slice: Slice
    place: int
    row: Any

    def cursor(self) -> str:
        return self.slice.after(self.place)


def list_of(operation_id: str, query: Sequence[tuple[str, str]]) -> str:
    """A short name of a list as it is asked for."""
    return f"{crc32(f'{operation_id}?{urlencode(query)}'.encode()):x}"


def wanted(arguments: Mapping[str, Any], of: str) -> tuple[int, Position]:
    """How many items of a list, from where."""
    first = arguments.get("first")
    first = DEFAULT_FIRST if first is None else first
    if not 1 <= first <= MOST:
        raise GraphFailure("BAD_USER_INPUT", f"`first` is between 1 and {MOST}")
    return first, Position.decoded(arguments.get("after"), of)


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
