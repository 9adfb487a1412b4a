"""Decides what a subscription is told: an answer of its document for each event that it wants, at the client's cost."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from graphql import FieldNode, GraphQLError, GraphQLSchema, get_argument_values, get_variable_values
from starlette.datastructures import State

from chassis.errors import Invalid
from gateway.allowance import Exhausted
from gateway.answering import Caller, Ready, answer
from gateway.asking import Wrong
from gateway.derive.sources import as_id
from gateway.execution.documents import MAX_ERRORS
from gateway.execution.selection import NotPlanned, Selections
from gateway.failures import GraphFailure, shown
from gateway.happening.catalog import happening_types
from gateway.happening.models import position_of
from gateway.happening.rules import SCOPE, heard_by, part_of
from gateway.live.hearing import Guest, Hearing
from gateway.live.rules import EXPIRED, Wanted, named

LISTENS = "workspace:read"
# How often who has used up their allowance is looked at again.
LONGEST_PAUSE = 1.0


@dataclass(frozen=True)
class Told:
    """One answer, and the cursor of what it tells of."""

    cursor: str
    payload: dict[str, Any]


async def subscribed(
    state: State, guest: Guest, caller: Caller, ready: Ready, request_id: str, resume: str | None = None
) -> AsyncGenerator[Told, None]:
    """Answers as things happen, until the guest has to go. `resume` is a cursor that goes before the document's own.
    Raises Wrong before the first one."""
    wanted, after = _asked_for(state.graph, caller, ready, resume)
    hearing: Hearing = state.hearing
    async with aclosing(hearing.hear(guest, wanted, after)) as happened:
        async for heard in happened:
            if caller.principal.expires_at <= state.clock().timestamp():
                guest.end(EXPIRED)
            if guest.ended.done():
                return
            await _afford(state, caller, ready.cost)
            # What is read for it is as new as it is, and not what others have begun to read before.
            state.upstream.forget(caller.authorization)
            with state.tracing.span("live.answer", parent=state.tracing.arriving({"traceparent": heard.trace or ""})):
                payload = await answer(state, caller, ready, request_id, heard.row)
            state.measures.live_sent.inc()
            yield Told(heard.row["cursor"], payload)


async def _afford(state: State, caller: Caller, cost: int) -> None:
    """Waits until the client may ask again; whoever asks for more than that falls behind, and has to go."""
    while True:
        try:
            state.allowance.take(caller.client, cost)
        except Exhausted as exhausted:
            await asyncio.sleep(min(exhausted.seconds, LONGEST_PAUSE))
        else:
            return


def _asked_for(
    graph: GraphQLSchema, caller: Caller, ready: Ready, resume: str | None
) -> tuple[Wanted, tuple[int, datetime] | None]:
    arguments = _arguments(graph, ready)
    scopes = caller.principal.scopes
    if LISTENS not in scopes:
        raise _refused("FORBIDDEN", f"the token lacks the scope {LISTENS}")
    types = None
    if arguments.get("types") is not None:
        types, unknown = named(arguments["types"], happening_types())
        if unknown:
            raise _refused("BAD_USER_INPUT", f"`types` names what there is none of: {', '.join(unknown)[:200]}")
        missing = sorted({SCOPE[part_of(each)] for each in types} - scopes)
        if missing:
            raise _refused("FORBIDDEN", f"the token lacks the scope {' '.join(missing)}")
    after = resume or arguments.get("after")
    try:
        position = None if after is None else position_of(after)
    except Invalid:
        raise _refused("BAD_USER_INPUT", "`after` isn't the `cursor` of anything that happened") from None
    subject = arguments.get("subject")
    if subject is not None and (subject := as_id(subject)) is None:
        raise _refused("BAD_USER_INPUT", "`subject` isn't an id")
    return Wanted(frozenset(heard_by(scopes)), types, subject), position


def _arguments(graph: GraphQLSchema, ready: Ready) -> dict[str, Any]:
    """What the subscription's one field is given."""
    operation, root = ready.operation, graph.subscription_type
    defined = operation.variable_definitions or ()
    variables = get_variable_values(graph, defined, dict(ready.variables), max_errors=MAX_ERRORS, hide_suggestions=True)
    if isinstance(variables, list):
        raise Wrong(None, [shown(error) for error in variables])
    assert root is not None  # noqa: S101  # or the document wouldn't hold
    flags = {name: variables.coerced.get(name) for name in ready.document.conditions}
    try:
        asked = Selections(ready.document.ast, operation, flags).fields(root, [operation.selection_set])
    except NotPlanned:
        asked = {}
    if len(asked) != 1:
        raise _refused("BAD_USER_INPUT", "a subscription asks for exactly one field")
    ((node, *_),) = asked.values()
    return _given(graph, node, variables)


def _given(graph: GraphQLSchema, node: FieldNode, variables: Any) -> dict[str, Any]:
    assert graph.subscription_type is not None  # noqa: S101  # as above
    try:
        return get_argument_values(graph.subscription_type.fields[node.name.value], node, variables)
    except GraphQLError as error:
        raise Wrong(None, [shown(error)]) from None


def _refused(code: str, message: str) -> Wrong:
    problem = GraphFailure(code, message)
    return Wrong(None, [shown(GraphQLError(message, original_error=problem))])
