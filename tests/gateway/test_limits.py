"""What a hostile query costs: next to nothing."""

import time

import pytest
from graphql import get_introspection_query, parse

from gateway.derive.contract import load
from gateway.derive.graph import build
from gateway.edges import EDGES, KEYS
from gateway.execution.documents import Documents, Refusal
from gateway.execution.limits import Limiter
from gateway.graphql import OPENAPI
from tests.gateway.hostile import HOSTILE, doubling

DOCUMENTS = Documents(build(load(OPENAPI), EDGES, KEYS)._schema, explains=True)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_query_is_refused_at_once(name: str) -> None:
    query = HOSTILE[name]
    spent = []
    for _ in range(2):  # the best of two: another process may have been in between
        began = time.process_time()
        with pytest.raises(Refusal):
            DOCUMENTS.read(query, {})
        spent.append(time.process_time() - began)
        DOCUMENTS._known.clear()
    assert min(spent) < 0.05


def test_what_tools_and_people_ask_passes() -> None:
    DOCUMENTS.read(get_introspection_query(descriptions=True, input_value_deprecation=True), {})
    DOCUMENTS.read(
        """query Q($first: Int = 10) { campaigns(first: $first) { edges { cursor node { ...C goals(first: 10) { nodes {
           id ...G } } } } pageInfo { hasNextPage } } }
           fragment C on Campaign { id name ...D } fragment D on Campaign { id }
           fragment G on Goal { id title smart { passed letters { letter verdict } } progress { value } }""",
        {},
    )


def test_a_list_as_long_as_a_variable_says_counts() -> None:
    query = """query($n: Int) { campaigns(first: $n) { nodes { goals(first: $n) { nodes { campaigns(first: $n) { nodes
               { id } } } } } } }"""
    DOCUMENTS.read(query, {"n": 20})
    with pytest.raises(Refusal, match="QUERY_TOO_LARGE"):
        DOCUMENTS.read(query, {"n": 200})


def test_the_limiter_looks_at_each_fragment_once() -> None:
    seen: list[str] = []

    class Watched(Limiter):
        def _selection(self, selected, depth):  # type: ignore[no-untyped-def]
            seen.append("")
            return super()._selection(selected, depth)

    Watched(parse(doubling(5)), {}).check()
    assert len(seen) == 1 + 6
