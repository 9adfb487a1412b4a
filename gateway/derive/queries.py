"""Decides which questions the graph's root answers: a connection per list, and each resource by its keys."""

from collections.abc import Iterable

from strawberry.types.field import StrawberryField

from gateway.derive.connections import connection, filter_arguments, name_of, page_arguments
from gateway.derive.contract import Contract, ContractError, Operation
from gateway.derive.fields import argument, found, optional
from gateway.derive.kinds import NaturalKey
from gateway.derive.names import camel, pascal
from gateway.derive.sources import Alone, ByKey, OfList, Source
from gateway.derive.types import Types


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
    arguments = page_arguments() + filter_arguments(types, operation)
    kind = optional(connection(types, node))
    return found(name_of(operation, "list_"), kind, OfList(operation), arguments, operation.description)


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
        source: Source = ByKey(lists, tuple(names), is_id=parameter.schema.get("format") == "uuid")
    else:
        arguments = [
            types.argument(
                name, parameter.schema, pascal(operation.id) + pascal(name), required=parameter.required,
                description=parameter.description,
            )
            for name, parameter in {**path, **query}.items()
        ]  # fmt: skip
        source = Alone(operation)
    return found(name_of(operation, "get_"), optional(kind), source, arguments, operation.description)
