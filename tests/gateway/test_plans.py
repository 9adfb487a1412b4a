"""A plan and graphql-core answer the same bytes, whatever is asked and whatever services answer."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from fastapi.responses import JSONResponse, Response
from graphql import parse, validate
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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
    answers, asked = [], []
    for how in (library.executor.answer, library.executor.by_fields):
        answers.append(await library.answer(how, query, variables))
        asked.append(sorted(library.asked))
    assert answers[0] == answers[1]
    # Which may have asked for less than a plan does that it gave up, but never for the same twice.
    assert len(set(asked[0])) == len(asked[0])
    assert set(asked[1]) <= set(asked[0])
    return answers[0]


# Each query is tried on services that are well and on some that aren't.
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(query=documents(SCHEMA), faults=FAULTS)
async def test_a_plan_answers_what_graphql_core_does(library: Library, query: str, faults: dict[str, Fault]) -> None:
    assert validate(SCHEMA, parse(query)) == []
    for library.faults in ({}, faults):
        await compared(library, query, VARIABLES)
