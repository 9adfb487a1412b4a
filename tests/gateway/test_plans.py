"""A plan and graphql-core answer the same bytes, whatever is asked and whatever services answer."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from fastapi.responses import JSONResponse, Response
from graphql import get_operation_ast, get_variable_values, parse, validate
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.execution import execute
from gateway.execution.compile import Compiler
from gateway.execution.documents import Document, Documents
from gateway.execution.execute import Executor
from gateway.reads import Context
from tests.gateway.generated import VARIABLES, documents
from tests.gateway.shelf import Library, shelf

Fault = Callable[[Any], bytes | Response]
SCHEMA = Library().schema
PATHS = ("/v1/shelves", "/v1/books", "/v1/weights", "/v1/loans/query", "/v1/library")


def put(change: Callable[[str, Any], Any]) -> Fault:
    """Changes values by their names, wherever they are."""

    def walk(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: walk(change(name, each)) for name, each in value.items()}
        return [walk(each) for each in value] if isinstance(value, list) else value

    return lambda answer: json.dumps(walk(answer)).encode()


def named(name: str, value: Any) -> Fault:
    return put(lambda each, old: value if each == name else old)


def refused(answer: Any) -> Response:
    return JSONResponse({"code": "too_much", "detail": "not that"}, 422)


def away(answer: Any) -> Response:
    return JSONResponse({"code": "database_unavailable"}, 503)


ODD: list[Any] = [None, 1, 1.5, -0.0, "text", True, [], {}, [None], 2**40, 1e300, "novel", "é\u2028"]
NAMES = [
    "id", "title", "name", "genre", "genres", "size", "sleeve", "height", "width", "chapters", "drafts", "pages",
    "notes", "lent", "grams", "weight", "problem", "book_ids", "shelf_id", "items", "next_cursor", "groups", "key",
    "loans", "month", "series", "city",
]  # fmt: skip
FAULTS = st.dictionaries(
    st.sampled_from(PATHS),
    st.one_of(
        st.sampled_from([refused, away, lambda _: b"{", lambda _: b"", lambda _: b"null", lambda _: b"[]"]),
        st.builds(named, st.sampled_from(NAMES), st.sampled_from(ODD)),
    ),
    max_size=2,
)


@pytest.fixture(scope="module")
async def library() -> AsyncIterator[Library]:
    async with shelf(3, 3) as made:
        yield made


async def compared(library: Library, query: str, variables: Any) -> bytes:
    """The answer, once it is the same both ways: as it is given, which may begin with a plan and end with fields."""
    by_fields = await library.answer(library.executor.by_fields, query, variables)
    as_given = await library.answer(library.executor.answer, query, variables)
    assert as_given == by_fields
    # Nothing is asked for again where a plan is given up.
    assert len(set(library.asked)) == len(library.asked)
    return as_given


EVERYTHING = """{
  shelves { nodes { id weight { grams books(first: 0) { nodes { id } } } loans(month: "may") { loans { month loans } }
    books(first: 2) { pageInfo { hasNextPage endCursor } edges { cursor node {
      title genre genres size { height width } sleeve { height } chapters { name size { height } } drafts { pages }
      notes lent shelf { name weight { grams } } } } }
    order(first: 2) { nodes { id title } } } }
  library { city size { width } } one: shelf(name: "S1") { name }
  never: shelves(first: 1) { nodes { loans(month: "never") { loans { loans } } } }
}"""


async def test_whatever_a_service_breaks_both_ways_say_the_same(library: Library) -> None:
    assert validate(SCHEMA, parse(EVERYTHING)) == []
    told = set()
    for name in NAMES:
        for value in (None, "text", 1.5):
            library.faults = dict.fromkeys(PATHS, named(name, value))
            told.add(await compared(library, EVERYTHING, {}))
    assert len(told) > len(NAMES)


# Each query is tried on services that are well and on some that aren't.
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(query=documents(SCHEMA), faults=FAULTS)
async def test_a_plan_answers_what_graphql_core_does(library: Library, query: str, faults: dict[str, Fault]) -> None:
    assert validate(SCHEMA, parse(query)) == []
    for library.faults in ({}, faults):
        await compared(library, query, VARIABLES)


@pytest.mark.parametrize(
    ("path", "fault", "planned"),
    [
        ("/v1/books", named("sleeve", None), True), ("/v1/books", refused, True), ("/v1/books", away, True),
        ("/v1/books", named("title", None), False), ("/v1/books", named("genre", "poem"), False),
        ("/v1/books", named("height", "3"), False), ("/v1/shelves", lambda _: b"{", False),
    ],
)  # fmt: skip
async def test_a_plan_is_given_up_where_a_promise_is_broken_and_nowhere_else(
    library: Library, path: str, fault: Fault, planned: bool
) -> None:
    query = "{ shelves { nodes { books { nodes { title genre size { height } sleeve { height } } } } } }"
    library.faults = {path: fault}
    await compared(library, query, {})
    document = Document(query, parse(query))
    operation = get_operation_ast(document.ast)
    assert operation
    context = Context(library.upstream, {})
    assert (await library.executor.by_plan(document, {}, operation, context) is not None) is planned
    await context.close()


async def test_a_null_bubbles_to_the_next_field_that_may_be_null(library: Library) -> None:
    library.faults = {"/v1/books": named("title", None)}
    answer = json.loads(await compared(library, "{ shelves(first: 1) { nodes { id books { nodes { title } } } } }", {}))
    assert answer["data"] == {"shelves": {"nodes": [{"id": "s0", "books": None}]}}
    assert [each["path"] for each in answer["errors"]] == [["shelves", "nodes", 0, "books", "nodes", 0, "title"]]


def test_plans_are_made_once_and_only_so_many_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execute, "REMEMBERED_PLANS", 2)
    executor = Executor(SCHEMA)

    def plan(text: str, flag: bool) -> Any:
        document, _ = Documents(SCHEMA, explains=True).read(text, {})
        operation = get_operation_ast(document.ast)
        assert operation
        values = get_variable_values(SCHEMA, operation.variable_definitions or (), {"a": flag})
        return executor._plan(document, operation, values)

    conditional, other = "query($a: Boolean!) { library { city @skip(if: $a) } }", "{ library { city } }"
    with_city, without = plan(conditional, False), plan(conditional, True)
    assert with_city is not without
    assert plan(conditional, False) is with_city
    plan(other, False)
    assert len(executor._plans) == 2
    assert plan(conditional, False) is with_city
    assert plan(conditional, True) is not without
    # What graphql-core executes isn't looked at again either.
    assert plan("{ __schema { types { name } } }", False) is None


async def test_a_plan_that_cannot_be_made_costs_no_answer(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Compiler, "plan", lambda _: 1 // 0)
    library.faults = {}
    answer = await library.answer(Executor(SCHEMA).answer, "{ never: library { city } }", {})
    assert set(json.loads(answer)["data"]) == {"never"}


async def test_a_request_that_is_cancelled_leaves_nothing_under_way() -> None:
    async with shelf() as library:
        library.hold = asyncio.Event()
        query = "{ shelves { nodes { id books { nodes { id } } } } a: shelves(first: 2) { nodes { id } } }"
        running = asyncio.create_task(library.answer(library.executor.answer, query, {}))
        async with asyncio.timeout(10):
            while len(library.asked) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            while library.upstream._http.connector._acquired:  # noqa: ASYNC110
                await asyncio.sleep(0)
        assert library.upstream._flights == {}
        library.hold.set()
        assert (await library.data(query))["a"]["nodes"]
