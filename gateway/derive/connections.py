"""Decides what a list is in the graph: a Relay connection over the pages that services answer."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from strawberry.types.arguments import StrawberryArgument
from strawberry.types.base import StrawberryList

from chassis.paging import MOST
from gateway.derive.contract import Operation
from gateway.derive.fields import argument, fields_of, new_type, optional, plain, resolved
from gateway.derive.names import camel, pascal, type_name
from gateway.derive.types import Types
from gateway.execution.limits import DEFAULT_FIRST
from gateway.failures import GraphFailure
from gateway.reads import Page


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


@dataclass(frozen=True)
class Slice:
    """The part of a list that was asked for: its items, each with its place after `start`."""

    items: list[tuple[int, Any]]
    start: Position
    end: Position
    has_more: bool

    @classmethod
    def of(cls, page: Page, start: Position) -> "Slice":
        items = list(enumerate(page.items))[start.skip :]
        end = Position(page.next_cursor, 0) if page.next_cursor else Position(start.cursor, len(page.items))
        return cls(items, start, end, page.next_cursor is not None)

    def edge(self, place: int) -> Position:
        return Position(self.start.cursor, place + 1)

    def page_info(self) -> dict[str, Any]:
        return {"has_next_page": self.has_more, "end_cursor": self.end.encoded() if self.items else None}


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


def page_arguments() -> list[StrawberryArgument]:
    return [
        argument("first", "first", optional(int), f"How many, up to {MOST}.", DEFAULT_FIRST),
        argument("after", "after", optional(str), "The cursor after which to begin."),
    ]


def filter_arguments(types: Types, operation: Operation, *without: str) -> list[StrawberryArgument]:
    """What else narrows or orders a list."""
    item = type_name((operation.items or {}).get("$ref", operation.id).rpartition("/")[2])
    return [
        types.argument(
            name, parameter.schema, item + pascal(name), required=parameter.required, description=parameter.description
        )
        for name, parameter in operation.query.items()
        if name not in {"limit", "cursor", "limit_per", *without}
    ]


def connection(types: Types, node: Any) -> Any:
    """The connection type over a node's type."""
    name = node.__strawberry_definition__.name
    info, is_new = types.claim("PageInfo", "Relay's page info", lambda: new_type("PageInfo", "Where a list goes on."))
    if is_new:
        fields_of(info).append(plain("has_next_page", "hasNextPage", bool))
        fields_of(info).append(plain("end_cursor", "endCursor", optional(str), "Send it as `after` for what follows."))
    edge, is_new = types.claim(f"{name}Edge", f"Relay's edge to {name}", lambda: new_type(f"{name}Edge"))
    if is_new:
        fields_of(edge).append(resolved("node", node, lambda row, _, __: row[1][1]))
        fields_of(edge).append(resolved("cursor", str, lambda row, _, __: row[0].edge(row[1][0]).encoded()))
    kind, is_new = types.claim(f"{name}Connection", f"Relay's list of {name}", lambda: new_type(f"{name}Connection"))
    if is_new:
        fields_of(kind).append(
            resolved("edges", StrawberryList(edge), lambda row, _, __: [(row, item) for item in row.items])
        )
        fields_of(kind).append(
            resolved(
                "nodes",
                StrawberryList(node),
                lambda row, _, __: [item for _, item in row.items],
                description="The edges' nodes.",
            )
        )
        fields_of(kind).append(resolved("pageInfo", info, lambda row, _, __: row.page_info()))
    return kind


def name_of(operation: Operation, prefix: str) -> str:
    return camel(operation.id.removeprefix(prefix))
