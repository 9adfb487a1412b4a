"""Decides what a verb is in the graph: a mutation whose payload holds what came of it, or why nothing did."""

from typing import Any

from strawberry.types.base import StrawberryList
from strawberry.types.field import StrawberryField

from gateway.derive.contract import REF, Contract, Operation
from gateway.derive.fields import Resolve, argument, fields_of, new_type, optional, plain, resolved
from gateway.derive.names import camel, pascal, type_name
from gateway.derive.pages import query_of
from gateway.derive.types import Types
from gateway.failures import Refused
from gateway.reads import Context

# What operations take beside their values, where they say that they do: header -> argument, and words for callers.
HEADERS = {
    "Idempotency-Key": ("idempotency_key", "Sent again, the same key changes nothing twice."),
    "If-Match": ("if_match", "The `version` that you have seen: refused when it is another one by now. Edits need it."),
}


def mutation_fields(contract: Contract, types: Types, questions: set[str]) -> list[StrawberryField]:
    """The fields of Mutation. `questions` are the operations that only read, though they are asked by POST."""
    return [
        _mutation(types, operation)
        for operation in contract.operations.values()
        if operation.in_graph and operation.method != "GET" and operation.id not in questions
    ]


def _mutation(types: Types, operation: Operation) -> StrawberryField:
    name = camel(operation.id)
    arguments = [
        types.argument(
            each.name, each.schema, pascal(operation.id) + pascal(each.name), required=each.required,
            description=each.description,
        )
        for each in operation.parameters
        if each.place in ("path", "query")
    ]  # fmt: skip
    if operation.body is not None:
        kind, nullable = types.sent(operation.body, pascal(operation.id))
        arguments.append(argument("input", "input", optional(kind) if nullable else kind))
    arguments += [argument(name, camel(name), optional(str), words) for name, words in _headers(operation).values()]
    payload, holds = _payload(types, operation)
    return resolved(name, optional(payload), _resolve(operation, holds), arguments, operation.description)


def _headers(operation: Operation) -> dict[str, tuple[str, str]]:
    sent = {name.lower() for name in operation.named("header")}
    return {header: said for header, said in HEADERS.items() if header.lower() in sent}


def _payload(types: Types, operation: Operation) -> tuple[Any, str | None]:
    name = f"{pascal(operation.id)}Payload"
    payload, _ = types.claim(name, f"what comes of {operation.id}", lambda: new_type(name))
    holds = None
    if operation.answers:
        answer = operation.answers[0]
        kind, _ = types.answer(answer, f"{pascal(operation.id)}Answer")
        holds = camel(pascal(type_name(answer["$ref"].removeprefix(REF)))) if "$ref" in answer else "answer"
        holds = holds if holds != "errors" else "answer"
        fields_of(payload).append(plain(holds, holds, optional(kind)))
    fields_of(payload).append(
        plain("errors", "errors", StrawberryList(_error(types)), "Why nothing was changed; empty when it was.")
    )
    return payload, holds


def _error(types: Types) -> Any:
    error, is_new = types.claim(
        "MutationError", "a verb's refusal", lambda: new_type("MutationError", "Why a change was refused.")
    )
    if is_new:
        fields_of(error).append(plain("field", "field", optional(str), "The argument or input field that is wrong."))
        fields_of(error).append(plain("code", "code", str, "Stable, for programs."))
        fields_of(error).append(plain("message", "message", str, "For a person."))
    return error


def _resolve(operation: Operation, holds: str | None) -> Resolve:
    async def resolve(_: Any, context: Context, arguments: dict[str, Any]) -> dict[str, Any]:
        path = {name: str(arguments[name]) for name in operation.named("path")}
        named = {header: name for header, (name, _) in _headers(operation).items() if arguments.get(name)}
        headers = {header: arguments[name] for header, name in named.items()}
        unfit = [_unfit(name) for header, name in named.items() if not _fits_a_header(headers[header])]
        if unfit:
            return {"errors": unfit}
        try:
            answer = await context.verb(
                operation, path, query_of(operation, arguments), arguments.get("input"), headers
            )
        except Refused as refusal:
            if refusal.status == 401:
                raise
            return {"errors": _refusals(refusal)}
        return {"errors": []} | ({holds: answer} if holds else {})

    return resolve


def _fits_a_header(value: str) -> bool:
    return value.isascii() and value.isprintable()


def _unfit(name: str) -> dict[str, Any]:
    return {"field": camel(name), "code": "invalid", "message": "printable ASCII characters alone"}


def _refusals(refusal: Refused) -> list[dict[str, Any]]:
    whole = {"field": None, "code": refusal.problem.get("code", refusal.code.lower()), "message": str(refusal)}
    return refusal.fields or [whole]
