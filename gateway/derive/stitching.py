"""Decides how an edge becomes a field: what it asks, how answers find their parents, and that all of it exists."""

from collections.abc import Iterable
from copy import copy
from typing import Any

from strawberry.types.arguments import StrawberryArgument
from strawberry.types.field import StrawberryField

from gateway.derive.asked import asked_field
from gateway.derive.connections import connection, filter_arguments, page_arguments
from gateway.derive.contract import Contract, ContractError, Operation
from gateway.derive.fields import field_names, fields_of, found, new_type, optional
from gateway.derive.kinds import Asked, Edge, Many, Ref, Refs
from gateway.derive.names import camel, pascal
from gateway.derive.sources import ById, ByIds, Hanging, Source, ToMany
from gateway.derive.types import Types


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
        source: Source = ToMany(operation, edge.by, edge.key)
    elif isinstance(edge, Refs):
        _takes(operation, "id", edge.name)
        _has(types, edge.name, edge.ids)
        arguments, kind, source = page_arguments(), connection(types, node), ByIds(operation, edge.ids)
    elif isinstance(edge, Ref):
        _takes(operation, edge.by, edge.name)
        _has(types, edge.name, edge.id)
        arguments, kind = list[StrawberryArgument](), node
        source = ById(operation, edge.id, edge.by, edge.match)
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
        source = Hanging(operation, edge.key, edge.value, edge.type is not None, edge.problem)
    description = contract.resolved(operation.items).get("description")
    return found(name, optional(kind), source, arguments, description)


def _takes(operation: Operation, parameter: str, edge: str) -> None:
    if operation.query.get(parameter) is None or operation.query[parameter].schema.get("type") != "array":
        raise ContractError(f"{edge}: {operation.id} doesn't take many {parameter}")


def _has(types: Types, edge: str, rest_name: str) -> None:
    owner = types.named(edge.partition(".")[0])
    # What is inside of a field of any kind is known by what happens, not by the contract.
    if camel(rest_name.partition(".")[0]) not in field_names(owner):
        raise ContractError(f"{edge}: the rows that it starts at have no {rest_name}")


def _with_key(types: Types, name: str, edge: str, value: Any, key: StrawberryField) -> Any:
    description = value.__strawberry_definition__.description
    kind, is_new = types.claim(name, f"what {edge} answers", lambda: new_type(name, description))
    if is_new:
        fields_of(kind).extend(copy(field) for field in (key, *fields_of(value)))
    return kind
