"""Decides how an edge becomes a field: what it asks, how answers find their parents, and that all of it exists."""

from collections.abc import Iterable
from copy import copy
from typing import Any
from uuid import UUID

from strawberry.types.arguments import StrawberryArgument
from strawberry.types.field import StrawberryField

from chassis.paging import MOST
from gateway.derive.asked import asked_field
from gateway.derive.connections import Position, Slice, connection, filter_arguments, page_arguments, query_of, wanted
from gateway.derive.contract import Contract, ContractError, Operation
from gateway.derive.fields import Resolve, field_names, fields_of, new_type, optional, resolved
from gateway.derive.kinds import Asked, Attached, Edge, Many, Ref, Refs
from gateway.derive.names import camel, pascal
from gateway.derive.types import Types
from gateway.failures import GraphFailure
from gateway.reads import Context, Groups, Page, Rows


def as_id(text: Any) -> str | None:
    """An id as services spell it; None for what can't be one."""
    try:
        return str(UUID(str(text)))
    except ValueError:
        return None


def stitch(contract: Contract, types: Types, edges: Iterable[Edge]) -> None:
    """Adds the edges to their types. An edge that starts at a type which another brings in waits for that one."""
    waiting = list(edges)
    while waiting:
        ready = [edge for edge in waiting if types.named(edge.name.partition(".")[0]) is not None]
        if not ready:
            raise ContractError(f"{waiting[0].name} starts at a type that nothing in the graph answers")
        for edge in ready:
            _add(contract, types, edge)
        waiting = [edge for edge in waiting if edge not in ready]


def _add(contract: Contract, types: Types, edge: Edge) -> None:
    owner_name, _, name = edge.name.partition(".")
    owner = types.named(owner_name)
    if name in field_names(owner):
        raise ContractError(f"{edge.name} is a field of its own already")
    operation = contract.operation(edge.operation, edge.name)
    fields_of(owner).append(_field(contract, types, edge, operation, name))


def _field(contract: Contract, types: Types, edge: Edge, operation: Operation, name: str) -> StrawberryField:
    if isinstance(edge, Asked):
        return asked_field(contract, types, edge, operation, name)
    if operation.items is None:
        raise ContractError(f"{edge.name}: {operation.id} doesn't answer with items")
    node, _ = types.answer(operation.items, pascal(operation.id))
    if isinstance(edge, Many):
        if not operation.is_grouped:
            raise ContractError(f"{edge.name}: {operation.id} can't answer in groups")
        _takes(operation, edge.by, edge.name)
        _has(types, edge.name, edge.key)
        arguments = page_arguments() + filter_arguments(types, operation, "id", edge.by)
        kind: Any = connection(types, node)
        resolve = _many(edge, operation)
    elif isinstance(edge, Refs):
        _takes(operation, "id", edge.name)
        _has(types, edge.name, edge.ids)
        arguments, kind, resolve = page_arguments(), connection(types, node), _refs(edge, operation)
    elif isinstance(edge, Ref):
        _takes(operation, edge.by, edge.name)
        _has(types, edge.name, edge.id)
        arguments, kind, resolve = list[StrawberryArgument](), node, _ref(edge, operation)
    else:
        _takes(operation, edge.key, edge.name)
        item = contract.resolved(operation.items)
        if edge.key not in item["properties"]:
            raise ContractError(f"{edge.name}: the items of {operation.id} don't say their {edge.key}")
        kind = node
        if edge.value:
            kind, _ = types.answer(item["properties"][edge.value], pascal(operation.id))
        if edge.type:
            kind = _with_key(types, edge.type, edge.name, kind, field_names(node)[camel(edge.key)])
        arguments = filter_arguments(types, operation, edge.key)
        resolve = _attached(edge, operation)
    description = contract.resolved(operation.items).get("description")
    return resolved(name, optional(kind), resolve, arguments, description)


def _takes(operation: Operation, parameter: str, edge: str) -> None:
    if operation.query.get(parameter) is None or operation.query[parameter].schema.get("type") != "array":
        raise ContractError(f"{edge}: {operation.id} doesn't take many {parameter}")


def _has(types: Types, edge: str, rest_name: str) -> None:
    owner = types.named(edge.partition(".")[0])
    if camel(rest_name) not in field_names(owner):
        raise ContractError(f"{edge}: the rows that it starts at have no {rest_name}")


def _many(edge: Many, operation: Operation) -> Resolve:
    async def resolve(row: Any, context: Context, arguments: dict[str, Any]) -> Slice | None:
        key = row.get(edge.key)
        if key is None:
            return None
        first, start = wanted(arguments)
        query = [*query_of(operation, arguments), ("limit_per", str(min(first + start.skip, MOST)))]
        if start.cursor:
            query.append(("cursor", start.cursor))
        # A cursor belongs to one parent, and is refused with several.
        read = Groups(operation, edge.by, tuple(query), most=1 if start.cursor else MOST)
        page: Page | None = await context.load(read, key)
        return Slice.of(page or Page([], None), start)

    return resolve


def _refs(edge: Refs, operation: Operation) -> Resolve:
    read = Rows(operation, "id", "id")

    async def resolve(row: Any, context: Context, arguments: dict[str, Any]) -> Slice:
        ids: list[str] = row.get(edge.ids) or []
        first, start = wanted(arguments)
        asked = ids[start.skip : start.skip + first]
        found = await context.load_all(read, asked)
        # An id that leads nowhere keeps its place, so that cursors stay true.
        items = [(start.skip + place, row) for place, row in enumerate(found) if row is not None]
        end = start.skip + len(asked)
        return Slice(items, Position(None, 0), Position(None, end), len(ids) > end)

    return resolve


def _ref(edge: Ref, operation: Operation) -> Resolve:
    read = Rows(operation, edge.by, edge.match)

    async def resolve(row: Any, context: Context, _: dict[str, Any]) -> Any:
        key = row.get(edge.id)
        return None if key is None else await context.load(read, key)

    return resolve


def _attached(edge: Attached, operation: Operation) -> Resolve:
    async def resolve(row: Any, context: Context, arguments: dict[str, Any]) -> Any:
        read = Rows(operation, edge.key, edge.key, tuple(query_of(operation, arguments)))
        item = await context.load(read, row["id"])
        if item is None or edge.value is None:
            return item
        problem = item.get(edge.problem)
        if item[edge.value] is None and problem:
            code = str(problem.get("code", "unknown")).upper()
            raise GraphFailure(code, str(problem.get("detail", code)), service=operation.service)
        value = item[edge.value]
        return {**value, edge.key: item[edge.key]} if edge.type and value else value

    return resolve


def _with_key(types: Types, name: str, edge: str, value: Any, key: StrawberryField) -> Any:
    description = value.__strawberry_definition__.description
    kind, is_new = types.claim(name, f"what {edge} answers", lambda: new_type(name, description))
    if is_new:
        fields_of(kind).extend(copy(field) for field in (key, *fields_of(value)))
    return kind
