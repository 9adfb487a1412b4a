"""Decides what a list is in the graph: a Relay connection over the pages that services answer."""

from typing import Any

from strawberry.types.arguments import StrawberryArgument
from strawberry.types.base import StrawberryList

from chassis.paging import MOST
from gateway.derive.contract import Operation
from gateway.derive.fields import argument, computed, fields_of, new_type, optional
from gateway.derive.names import camel, pascal, type_name
from gateway.derive.pages import Edge
from gateway.derive.types import Types
from gateway.execution.limits import DEFAULT_FIRST


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
        fields_of(info).append(computed("hasNextPage", bool, lambda page: page.has_more))
        fields_of(info).append(
            computed(
                "endCursor",
                optional(str),
                lambda page: page.end_cursor,
                "Send it as `after` for what follows.",
            )
        )
        fields_of(info).append(
            computed("hasPreviousPage", bool, lambda page: page.has_previous, "Whether `after` led past anything.")
        )
        fields_of(info).append(
            computed("startCursor", optional(str), lambda page: page.start_cursor, "The first edge's cursor.")
        )
    edge, is_new = types.claim(f"{name}Edge", f"Relay's edge to {name}", lambda: new_type(f"{name}Edge"))
    if is_new:
        fields_of(edge).append(computed("node", node, lambda edge: edge.row))
        fields_of(edge).append(computed("cursor", str, Edge.cursor))
    kind, is_new = types.claim(f"{name}Connection", f"Relay's list of {name}", lambda: new_type(f"{name}Connection"))
    if is_new:
        fields_of(kind).append(
            computed(
                "edges",
                StrawberryList(edge),
                lambda page: [Edge(page, place, row) for place, row in zip(page.places, page.rows, strict=True)],
            )
        )
        fields_of(kind).append(computed("nodes", StrawberryList(node), lambda page: page.rows, "The edges' nodes."))
        fields_of(kind).append(computed("pageInfo", info, lambda page: page))
    return kind


def name_of(operation: Operation, prefix: str) -> str:
    return camel(operation.id.removeprefix(prefix))
