"""Tenants never meet in the graph: every id of one workspace, in every argument that takes one, is answered to another
as an id that never was; and nothing of the first has changed afterwards."""

import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from fastapi import FastAPI
from graphql import GraphQLSchema

from chassis.testing import TestStack
from tests.contract.filled import Filled
from tests.contract.graphs import ALIASES, Place, places, plain_queries, verb
from tests.contract.operations import operations
from tests.contract.sweep import MOST_TOGETHER, Answer, Stranger
from tests.contract.tables import admin, digest
from tests.contract.test_isolation import Two, stranger_to, texts, tried_in
from tests.contract.values import target_of
from tests.gateway.conftest import Ask, Graph

Asking = Callable[[str, dict[str, Any], Any], Awaitable[Answer]]


@pytest.fixture
def schema(apps: dict[str, FastAPI]) -> GraphQLSchema:
    built: GraphQLSchema = apps["gateway"].state.graph
    return built


async def asking(graph_of: Ask, workspace: Filled) -> Asking:
    graph: Graph = await graph_of(None)
    graph.http.headers.update(workspace.clients["gateway"].headers)

    async def ask(document: str, variables: dict[str, Any], tried: Any) -> Answer:
        answer = await graph.http.post("/graphql", json={"query": document, "variables": variables})
        return Answer.of(answer.status_code, answer.text, tried if isinstance(tried, list) else [tried])

    return ask


def tried_at(place: Place, victim: Filled, foreign: list[str]) -> list[Any]:
    if not place.is_id:
        return [[each] for each in texts(place.argument, victim)]
    size = MOST_TOGETHER if place.many else ALIASES
    together = [foreign[start : start + size] for start in range(0, len(foreign), size)]
    kind = target_of(re.sub(r"(?=[A-Z])", "_", place.argument).lower(), place.resource)
    return [*([str(row["id"])] for row in victim.rows.get(kind, [])[:2] if "id" in row), *together]


async def test_a_foreign_id_is_no_id_in_the_graph(
    stack: TestStack, two: Two, graph_of: Ask, schema: GraphQLSchema
) -> None:
    """Questions first: some verbs keep what they can't check, a campaign's id, and answer with it from then on."""
    victim, intruder = two
    stranger = await stranger_to(stack, victim, intruder)
    ask = await asking(graph_of, intruder)
    async with admin(stack) as connection:
        before = await digest(connection, victim.id)
        assert await questions(schema, ask, stranger, victim) == []
        assert await verbs(schema, ask, stranger, two) == []
        assert await digest(connection, victim.id) == before


async def questions(schema: GraphQLSchema, ask: Asking, stranger: Stranger, victim: Filled) -> list[Any]:
    leaks: list[Any] = []
    for document in plain_queries(schema):
        found = await ask(document, {}, [])
        assert '"data":{' in found.text, (document, found.text[:500])
        leaks += [(document, seen) for seen in stranger.sees(found)]
    tried = 0
    for place in places(schema):

        def by_itself(value: Any, place: Place = place) -> Awaitable[Answer]:
            return ask(place.document, place.variables(value), value)

        values: list[Any] = tried_at(place, victim, list(stranger.foreign))
        leaks += [(str(place), *each) for each in await stranger.tries(by_itself, values)]
        tried += len(values)
    assert tried > 100
    return leaks


async def verbs(schema: GraphQLSchema, ask: Asking, stranger: Stranger, two: Two) -> list[Any]:
    victim, intruder = two
    leaks: list[Any] = []
    said = 0
    for operation in operations():
        if operation.method == "GET" or verb(schema, operation.ask(intruder)) is None:
            continue
        said += 1
        for slot in operation.ask(intruder).slots:

            async def trying(value: Any, slot: Any = slot, operation: Any = operation) -> Answer:
                document, variables = verb(schema, operation.ask(intruder).having(slot, value)) or ("", {})
                return await ask(document, variables, value)

            # Behind a verb is the operation that was tried with all of them.
            values = tried_in(operation, slot, victim, stranger.foreign[::8])
            leaks += [(operation.id, slot, *each) for each in await stranger.tries(trying, values)]
    assert said > 5
    return leaks


async def test_the_questions_tell_of_a_workspace_s_own_rows(two: Two, graph_of: Ask, schema: GraphQLSchema) -> None:
    """What is asked would show a leak: asked by the owner, it shows the rows."""
    victim, _ = two
    ask = await asking(graph_of, victim)
    shown = "".join([(await ask(document, {}, [])).text for document in plain_queries(schema)])
    missing = [name for name, rows in victim.rows.items() if "id" in rows[0] and str(rows[0]["id"]) not in shown]
    # Jobs are no part of the graph.
    assert set(missing) <= {"api_client", "quarantine", "audit", "job"}
