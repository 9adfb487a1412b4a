"""Decides which questions the graph's root answers: a connection per list, and each resource by its keys."""

from collections.abc import Iterable
from typing import Any

from strawberry.types.field import StrawberryField

from chassis.paging import MOST
from gateway.derive.connections import (
    Slice,
    connection,
    filter_arguments,
    name_of,
    page_arguments,
    query_of,
    wanted,
)
from gateway.derive.contract import Contract, ContractError, Operation
from gateway.derive.fields import Resolve, argument, optional, resolved
from gateway.derive.kinds import NaturalKey
from gateway.derive.names import camel, pascal
from gateway.derive.stitching import as_id
from gateway.derive.types import Types
from gateway.failures import GraphFailure
from gateway.reads import Context, Listed, Rows, Single


def root_fields(contract: Contract, types: Types, keys: Iterable[NaturalKey]) -> list[StrawberryField]:
    """The fields of Query. What hangs on a row isn't here: an edge says where it is."""
    by_operation = {key.operation: key for key in keys}
    for key in by_operation.values():
        contract.operation(key.operation, key.name)
    lists = {operation.path: operation for operation in contract.operations.values() if operation.is_list}
    fields: dict[str, StrawberryField] = {}
    for operation in contract.operations.values():
        if not operation.in_graph or operation.method != "GET":
            continue
        if operation.is_list:
            field = _list_field(types, operation)
        elif operation.items is not None or operation.hangs_on_a_row or not operation.answers:
            continue
        else:
            field = _item_field(types, operation, lists.get(operation.path.rpartition("/{")[0]), by_operation)
        name = field.graphql_name or ""
        if name in fields:
            raise ContractError(f"two operations would be {name} at the graph's root; {operation.id} is the second")
        fields[name] = field
    return list(fields.values())


def _list_field(types: Types, operation: Operation) -> StrawberryField:
    assert operation.items is not None  # noqa: S101  # it is a list
    node, _ = types.answer(operation.items, pascal(operation.id))
    read = Listed(operation)

    async def resolve(_: Any, context: Context, arguments: dict[str, Any]) -> Slice:
        first, start = wanted(arguments)
        query = [*query_of(operation, arguments), ("limit", str(min(first + start.skip, MOST)))]
        if start.cursor:
            query.append(("cursor", start.cursor))
        return Slice.of(await context.load(read, tuple(query)), start)

    arguments = page_arguments() + filter_arguments(types, operation)
    kind = optional(connection(types, node))
    return resolved(name_of(operation, "list_"), kind, resolve, arguments, operation.description)


def _item_field(
    types: Types, operation: Operation, lists: Operation | None, keys: dict[str, NaturalKey]
) -> StrawberryField:
    kind, _ = types.answer(operation.answers[0], pascal(operation.id))
    path, query = operation.named("path"), operation.query
    if lists is not None and len(path) == 1 and path.keys() <= lists.query.keys() and not query:
        ((own, parameter),) = path.items()
        known_by = keys.get(lists.id)
        names = [own, known_by.by] if known_by else [own]
        kinds = [types.sent(parameter.schema, pascal(own))[0], str]
        arguments = [argument(name, camel(name), optional(of)) for name, of in zip(names, kinds, strict=False)]
        resolve = _by_key(lists, names, is_id=parameter.schema.get("format") == "uuid")
    else:
        arguments = [
            types.argument(
                name, parameter.schema, pascal(operation.id) + pascal(name), required=parameter.required,
                description=parameter.description,
            )
            for name, parameter in {**path, **query}.items()
        ]  # fmt: skip
        resolve = _alone(operation)
    return resolved(name_of(operation, "get_"), optional(kind), resolve, arguments, operation.description)


def _by_key(lists: Operation, names: list[str], *, is_id: bool) -> Resolve:
    reads = {name: Rows(lists, name, name) for name in names}

    async def resolve(_: Any, context: Context, arguments: dict[str, Any]) -> Any:
        given = {name: value for name, value in arguments.items() if value is not None}
        if len(given) != 1:
            raise GraphFailure("BAD_USER_INPUT", f"name it by exactly one of: {', '.join(map(camel, names))}")
        ((name, value),) = given.items()
        if is_id and name == names[0]:
            # What isn't an id names nothing; asked for, it would spoil the batch that it is read with.
            value = as_id(value)
        return await context.load(reads[name], value) if value else None

    return resolve


def _alone(operation: Operation) -> Resolve:
    read = Single(operation)

    async def resolve(_: Any, context: Context, arguments: dict[str, Any]) -> Any:
        path = tuple((name, str(arguments[name])) for name in operation.named("path"))
        return await context.load(read, (path, tuple(query_of(operation, arguments))))

    return resolve
