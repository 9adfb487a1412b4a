"""What each kind of edge promises, and in how many calls."""

from collections import Counter
from math import ceil

import pytest

from gateway.derive.contract import ContractError
from gateway.derive.graph import build
from gateway.derive.kinds import Asked, Attached, Edge, Many, Ref, Refs
from gateway.derive.pages import Position, list_of
from tests.gateway.shelf import EDGES, Library, shelf

EVERYTHING = """{ shelves(first: 200) { nodes {
  books(first: 2) { nodes { title shelf { name order(first: 2) { nodes { id } } } } }
  more: books(first: 3) { pageInfo { hasNextPage } }
  order(first: 1) { nodes { title } }
  loans(month: "may") { loans { loans } } june: loans(month: "june") { loans { month } }
} } }"""


def paths(library: Library) -> Counter[str]:
    return Counter(asked.partition("?")[0] for asked in library.asked)


@pytest.mark.parametrize("shelves", [1, 3, 50, 200])
async def test_calls_dont_grow_with_rows(shelves: int) -> None:
    async with shelf(shelves) as library:
        await library.data(EVERYTHING)
        # One for each edge, level and arguments, and 200 keys; the loans of both months are asked for at once.
        assert paths(library) == {
            "GET /v1/shelves": 2,
            "GET /v1/books": 4,
            "POST /v1/loans/query": ceil(shelves * 2 / 200),
        }


async def test_a_row_names_others_in_its_own_order() -> None:
    async with shelf(1) as library:
        found = await library.data(
            "{ shelves { nodes { order(first: 2) { nodes { id } pageInfo { endCursor hasNextPage } } } } }"
        )
        order = found["shelves"]["nodes"][0]["order"]
        assert [node["id"] for node in order["nodes"]] == ["s0b4", "s0b3"]
        after = order["pageInfo"]["endCursor"]
        query = '{ shelves { nodes { order(first: 9, after: "%s") { nodes { id } pageInfo { hasNextPage } } } } }'
        found = await library.data(query % after)
        order = found["shelves"]["nodes"][0]["order"]
        assert [node["id"] for node in order["nodes"]] == ["s0b2", "s0b1", "s0b0"]
        assert order["pageInfo"] == {"hasNextPage": False}


async def test_a_group_goes_on_after_any_of_its_cursors() -> None:
    async with shelf(2) as library:
        query = """{ shelves { nodes { books(first: 2%s) { edges { cursor node { title } }
                   pageInfo { endCursor hasNextPage } } } } }"""
        seen, after, more = [], "", True
        while more:
            books = (await library.data(query % after))["shelves"]["nodes"][1]["books"]
            seen += [edge["node"]["title"] for edge in books["edges"]]
            after, more = f', after: "{books["pageInfo"]["endCursor"]}"', books["pageInfo"]["hasNextPage"]
        assert seen == [f"s1b{number}" for number in range(5)]
        first = (await library.data(query % ""))["shelves"]["nodes"][1]["books"]["edges"][0]["cursor"]
        books = (await library.data(query % f', after: "{first}"'))["shelves"]["nodes"][1]["books"]
        assert [edge["node"]["title"] for edge in books["edges"]] == ["s1b1", "s1b2"]


async def test_a_cursor_is_refused_by_another_list_and_by_the_same_one_in_another_order_or_narrowed() -> None:
    async with shelf(3) as library:
        query = """{ shelves(first: 2) { edges { cursor } nodes {
                     books(first: 2) { edges { cursor } } order(first: 2) { edges { cursor } } } } }"""
        shelves = (await library.data(query))["shelves"]
        lists = [shelves, *(shelves["nodes"][0][name] for name in ("books", "order"))]
        cursors = [each["edges"][0]["cursor"] for each in lists]
        asked = (
            '{ shelves(after: "%s") { nodes { id } } }',
            '{ shelves { nodes { books(after: "%s") { nodes { id } } } } }',
            '{ shelves { nodes { order(after: "%s") { nodes { id } } } } }',
            '{ shelves(after: "%s", name: ["S1"]) { nodes { id } } }',
        )
        for place, ask in enumerate(asked):
            for of, cursor in enumerate(cursors):
                answer = await library.ask(ask % cursor)
                codes = {each["extensions"]["code"] for each in answer.get("errors", ())}
                assert codes == (set() if of == place else {"BAD_USER_INPUT"}), (ask, of)


async def test_the_longest_page_goes_on_after_its_last_row_too_and_says_what_is_before_it() -> None:
    async with shelf(201, 0) as library:
        query = """{ shelves(first: 200%s) { edges { cursor node { id } }
                     pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }"""
        page = (await library.data(query % ""))["shelves"]
        first, last = page["edges"][0]["cursor"], page["edges"][-1]["cursor"]
        said = {"hasNextPage": True, "hasPreviousPage": False, "startCursor": first, "endCursor": last}
        assert page["pageInfo"] == said
        page = (await library.data(query % f', after: "{last}"'))["shelves"]
        assert [each["node"]["id"] for each in page["edges"]] == ["s200"]
        assert (page["pageInfo"]["hasNextPage"], page["pageInfo"]["hasPreviousPage"]) == (False, True)
        # Where the list ended once, an answer may have no room for a row of it, and leads on all the same.
        end = Position(None, 200, list_of("list_shelves", [])).encoded()
        page = (await library.data(query % f', after: "{end}"'))["shelves"]
        assert (page["edges"], page["pageInfo"]["hasNextPage"], page["pageInfo"]["endCursor"]) == ([], True, last)


async def test_what_is_null_for_a_reason_says_it() -> None:
    async with shelf(3) as library:
        answer = await library.ask("{ shelves { nodes { weight { grams books(first: 1) { nodes { title } } } } } }")
        weights = [node["weight"] for node in answer["data"]["shelves"]["nodes"]]
        assert weights[0] == {"grams": 100, "books": {"nodes": [{"title": "s0b0"}]}}
        assert weights[1] is None
        (error,) = answer["errors"]
        assert (error["path"], error["extensions"]["code"]) == (["shelves", "nodes", 1, "weight"], "TOO_HEAVY")


@pytest.mark.parametrize(
    ("edge", "says"),
    [
        (Many("Shelf.films", "list_films", by="shelf_id"), "Shelf.films asks for the operation list_films"),
        (Many("Shelf.films", "list_shelves", by="id"), "Shelf.films: list_shelves can't answer in groups"),
        (Many("Shelf.films", "list_books", by="film_id"), "Shelf.films: list_books doesn't take many film_id"),
        (Many("Film.books", "list_books", by="shelf_id"), "Film.books starts at a type that nothing"),
        (Refs("Shelf.films", "list_books", ids="film_ids"), "Shelf.films: the rows that it starts at have no film_ids"),
        (Ref("Book.title", "list_shelves", id="shelf_id"), "Book.title is a field of its own already"),
        (Attached("Shelf.films", "list_weights", key="film_id"), "Shelf.films: list_weights doesn't take many film_id"),
        (Asked("Shelf.films", "query_loans", bind={"film": "id"}), "Shelf.films: a query of query_loans has no film"),
        (Asked("Shelf.films", "list_books"), "Shelf.films: list_books doesn't take queries"),
    ],
)  # fmt: skip
async def test_an_edge_that_fits_nothing_stops_the_build_by_its_name(edge: Edge, says: str) -> None:
    with pytest.raises(ContractError, match=says):
        build({"shelf": Library().app.openapi()}, (*EDGES, edge), ())
