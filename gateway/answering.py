"""Decides who asks, whether what they ask is answered, and with what: over HTTP, in streams and on sockets alike."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

from graphql import GraphQLError, OperationDefinitionNode, OperationType, get_operation_ast
from starlette.datastructures import State

from chassis.errors import MopsError, Unauthenticated, Unavailable
from chassis.tokens import Principal, Verifier
from gateway.allowance import Exhausted
from gateway.asking import Asked, Wrong
from gateway.execution.documents import Document, Refusal
from gateway.failures import GraphFailure, shown
from gateway.reads import Context


@dataclass(frozen=True)
class Caller:
    """Who asks, by which token."""

    principal: Principal
    authorization: str

    @property
    def client(self) -> str:
        """Whose allowance it is."""
        return f"{self.principal.workspace}:{self.principal.subject}"


@dataclass(frozen=True)
class Ready:
    """An operation that may be executed, and what one answer of it costs."""

    document: Document
    operation: OperationDefinitionNode
    variables: Mapping[str, Any]
    cost: int

    @property
    def kind(self) -> OperationType:
        return self.operation.operation


async def caller_of(state: State, authorization: str) -> Caller:
    """Who an Authorization header's value speaks for. Raises Wrong."""
    scheme, _, token = map(str.strip, authorization.partition(" "))
    verifier: Verifier = state.verifier
    try:
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("send a bearer token from /oauth/token")
        principal = await verifier.verify(token)
        _ = principal.workspace_id
    except Unauthenticated as problem:
        raise Wrong.because(401, "UNAUTHENTICATED", problem.detail, WWW_Authenticate="Bearer") from None
    except Unavailable as problem:
        raise Wrong.because(503, "UNAVAILABLE", problem.detail, Retry_After=str(problem.retry_after)) from None
    except MopsError as problem:
        raise Wrong.because(403, problem.code.upper(), problem.detail) from None
    # As services are told of it: on a socket it may have come with what no header can hold.
    return Caller(principal, f"Bearer {token}")


def ready(state: State, asked: Asked) -> Ready:
    """What is asked, if its document is known, trusted where that matters, and holds. Raises Wrong."""
    try:
        text = state.trusted.text(asked.query, asked.id)
        document, cost = state.documents.read(text, asked.variables)
        operation = _operation(document, asked.operation_name)
    except GraphFailure as problem:
        raise failed(problem) from None
    except Refusal as refusal:
        raise Wrong(None, [shown(error, refusal.code) for error in refusal.errors]) from None
    if asked.query is not None and asked.id is not None:
        state.trusted.remember(text, asked.id)
    return Ready(document, operation, asked.variables, cost)


def charge(state: State, caller: Caller, cost: int) -> None:
    """Takes what an answer costs from what the client has left. Raises Wrong."""
    try:
        state.allowance.take(caller.client, cost)
    except Exhausted as exhausted:
        words = "this client has asked for as much as it may in a minute"
        raise Wrong.because(429, "COST_EXHAUSTED", words, Retry_After=str(ceil(exhausted.seconds))) from None


async def answer(
    state: State, caller: Caller, ready: Ready, request_id: str, row: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The answer as it is sent; of a subscription, to the row that happened."""
    context = Context(state.upstream, {"authorization": caller.authorization, "x-request-id": request_id})
    found = await state.executor.answer(ready.document, ready.variables, ready.operation, context, row)
    sent: dict[str, Any] = found.sent(request_id)
    sent["extensions"] = {"cost": {"objects": ready.cost}}
    return sent


def failed(problem: GraphFailure) -> Wrong:
    return Wrong(None, [shown(GraphQLError(str(problem), original_error=problem))])


def _operation(document: Document, name: str | None) -> OperationDefinitionNode:
    operation = get_operation_ast(document.ast, name)
    if operation is None:
        raise GraphFailure("BAD_USER_INPUT", "say by `operationName` which of the operations to execute")
    return operation
