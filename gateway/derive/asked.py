"""Decides how an edge whose arguments differ per row is answered: many queries in one POST."""

from strawberry.types.field import StrawberryField

from gateway.derive.contract import Contract, ContractError, Operation, Schema
from gateway.derive.fields import found, optional
from gateway.derive.kinds import Asked
from gateway.derive.names import pascal
from gateway.derive.sources import ByQuery
from gateway.derive.types import Types

MOST_QUERIES = 200


def asked_field(contract: Contract, types: Types, edge: Asked, operation: Operation, name: str) -> StrawberryField:
    """The field of an edge that is asked by POST."""
    sent = contract.resolved(operation.body or {}).get("properties", {})
    answered = contract.resolved(operation.answers[0] if operation.answers else {}).get("properties", {})
    if edge.queries not in sent or edge.answers not in answered:
        raise ContractError(f"{edge.name}: {operation.id} doesn't take {edge.queries} and answer {edge.answers}")
    query = contract.resolved(sent[edge.queries]["items"])
    for bound in edge.bind:
        if bound not in query["properties"]:
            raise ContractError(f"{edge.name}: a query of {operation.id} has no {bound}")
    kind, _ = types.answer(answered[edge.answers]["items"], pascal(operation.id))
    required = set(query.get("required", ()))
    arguments = [
        types.argument(
            each, schema, pascal(operation.id) + pascal(each), required=each in required,
            description=schema.get("description"),
        )
        for each, schema in query["properties"].items()
        if each not in edge.bind
    ]  # fmt: skip
    source = ByQuery(
        operation, edge.queries, edge.answers, sent[edge.queries].get("maxItems", MOST_QUERIES), edge.bind,
        frozenset(bound for bound in edge.bind if _is_list(query["properties"][bound])),
    )  # fmt: skip
    return found(name, optional(kind), source, arguments, operation.description)


def _is_list(schema: Schema) -> bool:
    return any(choice.get("type") == "array" for choice in schema.get("anyOf", [schema]))
