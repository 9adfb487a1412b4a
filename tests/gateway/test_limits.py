"""What a hostile query costs: next to nothing."""

import time
from collections.abc import Iterator

import pytest
from graphql import get_introspection_query, parse

from gateway.derive.contract import load
from gateway.derive.graph import build
from gateway.edges import EDGES, KEYS
from gateway.execution.documents import Documents, Refusal
from gateway.execution.execute import Executor
from gateway.execution.limits import DEFAULT_FIRST, Limiter
from gateway.failures import shown
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


class Looked(list[dict[str, str]]):
    """A list that knows how many of its items were looked at."""

    at = 0

    def __iter__(self) -> Iterator[dict[str, str]]:
        for each in super().__iter__():
            self.at += 1
            yield each


def test_variables_that_are_wrong_again_and_again_are_given_up_on() -> None:
    query = "query($ids: [ID!]) { campaigns(id: $ids) { nodes { id } } }"
    document, _ = DOCUMENTS.read(query, {})
    executor, (operation, *_) = Executor(DOCUMENTS._schema), document.ast.definitions
    wrong = Looked([{}] * 20_000)
    answering = executor.by_plan(document, {"ids": wrong}, operation, None)  # type: ignore[arg-type]
    with pytest.raises(StopIteration) as ended:
        answering.send(None)
    assert ended.value.value is None
    # Each once, to find that it isn't right; to say why, only the first.
    assert len(wrong) <= wrong.at < len(wrong) + 10


def test_a_number_that_python_wouldnt_read_is_the_documents_mistake() -> None:
    with pytest.raises(Refusal) as refused:
        DOCUMENTS.read("{ campaigns(first: " + "9" * 5_000 + ") { nodes { id } } }", {})
    said = shown(refused.value.errors[0], refused.value.code)
    assert said["extensions"] == {"code": "GRAPHQL_VALIDATION_FAILED"}
    assert "4300" not in said["message"]


def test_what_tools_and_people_ask_passes() -> None:
    DOCUMENTS.read(get_introspection_query(descriptions=True, input_value_deprecation=True), {})
    DOCUMENTS.read(
        """query Q($first: Int = 10) { campaigns(first: $first) { edges { cursor node { ...C goals(first: 10) { nodes {
           id ...G } } } } pageInfo { hasNextPage } } }
           fragment C on Campaign { id name ...D } fragment D on Campaign { id }
           fragment G on Goal { id title smart { passed letters { letter verdict } } progress { value } }""",
        {},
    )
    # A file of an app's operations.
    fields = " ".join(f"f{each}: name" for each in range(3))
    operations = [f"query Q{each} {{ campaigns {{ nodes {{ id state {fields} }} }} }}" for each in range(30)]
    DOCUMENTS.read(" ".join(operations), {})
    # Each part of a page says what it needs of the one campaign.
    parts = [
        f"fragment P{each} on Campaign {{ __typename id name goals(first: 10) {{ nodes {{ id title }} }} }}"
        for each in range(25)
    ]
    spread = " ".join(f"...P{each}" for each in range(25))
    DOCUMENTS.read(f"query Page($id: ID) {{ campaign(id: $id) {{ {spread} }} }} {' '.join(parts)}", {})


def test_a_list_as_long_as_a_variable_says_counts() -> None:
    query = """query($n: Int) { campaigns(first: $n) { nodes { goals(first: $n) { nodes { campaigns(first: $n) { nodes
               { id } } } } } } }"""
    DOCUMENTS.read(query, {"n": 20})
    with pytest.raises(Refusal, match="QUERY_TOO_LARGE"):
        DOCUMENTS.read(query, {"n": 200})


def test_a_list_counts_though_nobody_looks_at_its_rows() -> None:
    for looked_at in ("nodes { id }", "pageInfo { hasNextPage }", "__typename"):
        query = f"{{ campaigns(first: 200) {{ nodes {{ goals(first: 50) {{ {looked_at} }} }} }} }}"
        assert DOCUMENTS.read(query, {})[1] == 200 * (1 + 50), looked_at
    assert DOCUMENTS.read("{ campaigns { pageInfo { endCursor } } }", {})[1] == DEFAULT_FIRST


def test_the_limiter_looks_at_each_fragment_once() -> None:
    seen: list[str] = []

    class Watched(Limiter):
        def _selection(self, selected, depth):  # type: ignore[no-untyped-def]
            seen.append("")
            return super()._selection(selected, depth)

    Watched(parse(doubling(5)), {}).check()
    assert len(seen) == 1 + 6
