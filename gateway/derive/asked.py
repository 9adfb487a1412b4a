"""Decides how an edge whose arguments differ per row is answered: many queries in one POST."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json, to_json
from strawberry.types.field import StrawberryField

from gateway.derive.contract import Contract, ContractError, Operation, Schema
from gateway.derive.fields import optional, resolved
from gateway.derive.kinds import Asked
from gateway.derive.names import pascal
from gateway.derive.types import Types
from gateway.failures import GraphFailure
from gateway.reads import Context

MOST_QUERIES = 200


@dataclass(frozen=True)
class Queries:
    """Answers by query; the key is the query as JSON, so that equal queries are asked once."""

    operation: Operation
    queries: str
    answers: str
    most: int

    async def fetch(self, context: Context, keys: list[Any]) -> Mapping[Any, Any]:
        answer = await context.call(self.operation, body={self.queries: [from_json(key) for key in keys]})
        return dict(zip(keys, answer[self.answers], strict=True))


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
    lists = {bound for bound in edge.bind if _is_list(query["properties"][bound])}
    read = Queries(operation, edge.queries, edge.answers, sent[edge.queries].get("maxItems", MOST_QUERIES))

    async def resolve(row: Any, context: Context, given: dict[str, Any]) -> Any:
        asked = dict(given)
        for each, path in edge.bind.items():
            value = _at(row, path)
            asked[each] = [value] if each in lists and not isinstance(value, list) else value
        answer = await context.load(read, to_json(asked))
        problem = answer.get("problem") if isinstance(answer, dict) else None
        if problem:
            code = str(problem.get("code", "unknown")).upper()
            raise GraphFailure(code, str(problem.get("detail", code)), service=operation.service)
        return answer

    return resolved(name, optional(kind), resolve, arguments, operation.description)


def _at(row: Any, path: str) -> Any:
    for name in path.split("."):
        row = row[name]
    return row


def _is_list(schema: Schema) -> bool:
    return any(choice.get("type") == "array" for choice in schema.get("anyOf", [schema]))
