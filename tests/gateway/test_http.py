"""What the graph's route promises whoever speaks HTTP to it."""

import re
from typing import Any

import httpx
import pytest

from tests.conftest import Connect, Workspace
from tests.gateway.conftest import Graph

MODERN = "application/graphql-response+json; charset=utf-8"
ASKED = {"query": "{ __typename }"}


def code(response: httpx.Response) -> Any:
    return response.json()["errors"][0]["extensions"]["code"]


@pytest.mark.parametrize("authorization", ["", "Bearer nonsense", "Basic YTpi"])
async def test_nothing_is_answered_without_a_token(connect: Connect, authorization: str) -> None:
    response = await connect("gateway").post("/graphql", json=ASKED, headers={"Authorization": authorization})
    assert (response.status_code, code(response)) == (401, "UNAUTHENTICATED")
    assert response.headers["www-authenticate"] == "Bearer"


async def test_the_answers_media_type_is_the_one_asked_for(graph: Graph) -> None:
    for accept, found in (
        ("*/*", MODERN),
        (MODERN.partition(";")[0], MODERN),
        ("application/json", "application/json; charset=utf-8"),
    ):
        response = await graph.http.post("/graphql", json=ASKED, headers={"Accept": accept})
        assert (response.status_code, response.headers["content-type"]) == (200, found)
    assert (await graph.http.post("/graphql", json=ASKED, headers={"Accept": "text/csv"})).status_code == 406


@pytest.mark.parametrize("query", ["{", "{ nothing }", "query($a: Int!) { __typename }"])
async def test_a_document_that_doesnt_hold_is_400_or_for_older_clients_200(graph: Graph, query: str) -> None:
    modern = await graph.http.post("/graphql", json={"query": query})
    assert modern.status_code == 400
    assert "data" not in modern.json()
    older = await graph.http.post("/graphql", json={"query": query}, headers={"Accept": "application/json"})
    assert older.status_code == 200
    assert older.json() == modern.json()


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"{", 400), (b"[]", 400), (b"{}", 400), (b'{"query": 1}', 400), (b'{"query": "{a}", "variables": 1}', 400),
     (b"[" * 50_000, 400), (b'{"query": "' + b" " * 70_000 + b'"}', 413)],
)  # fmt: skip
async def test_a_body_that_isnt_a_request_is_refused(graph: Graph, body: bytes, status: int) -> None:
    response = await graph.http.post("/graphql", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == status


@pytest.mark.parametrize("media", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
async def test_a_form_elsewhere_cant_ask(graph: Graph, media: str) -> None:
    response = await graph.http.post(
        "/graphql", content=b'{"query": "{ __typename }"}', headers={"Content-Type": media}
    )
    assert (response.status_code, code(response)) == (415, "UNSUPPORTED_MEDIA_TYPE")


async def test_get_asks_and_never_changes(graph: Graph) -> None:
    answer = await graph.http.get(
        "/graphql",
        params={
            "query": "query($a: Boolean!) { a: __typename @skip(if: $a) b: __typename }",
            "variables": '{"a": true}',
        },
    )
    assert answer.json() == {"data": {"b": "Query"}}
    change = 'mutation { createObjective(input: {name: "x", stakeholder: CEO}) { objective { id } } }'
    refused = await graph.http.get("/graphql", params={"query": change})
    assert (refused.status_code, refused.headers["allow"]) == (405, "POST")
    assert (await graph("{ objectives { nodes { id } } }")) == {"objectives": {"nodes": []}}


async def test_one_of_several_operations_is_named(graph: Graph) -> None:
    both = "query A { a: __typename } query B { b: __typename }"
    named = await graph.http.post("/graphql", json={"query": both, "operationName": "B"})
    assert named.json() == {"data": {"b": "Query"}}
    assert (await graph.http.post("/graphql", json={"query": both})).status_code == 400


async def test_a_day_that_is_none_is_refused_before_anyone_is_asked(graph: Graph) -> None:
    query = """mutation { createCampaign(input: {name: "x", slug: "x", channels: [EMAIL],
               flight: {start: "2026-02-30", end: "2026-03-01"}}) { errors { code } } }"""
    answer = await graph.ask(query)
    assert "a day is written like 2026-03-01" in answer["errors"][0]["message"]


async def test_the_editor_works_without_internet(connect: Connect, workspace: Workspace) -> None:
    http = connect("gateway")
    page = await http.get("/graphql", headers={"Accept": "text/html,*/*;q=0.8"})
    assert page.status_code == 200
    assert not re.search(r"(?:https?:)?//", page.text)
    named = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(named) == 5
    for path in named:
        found = await http.get(path)
        assert found.status_code == 200, path
        assert not re.search(r"url\((?!#|data:)|@import|sourceMappingURL", found.text) or path.endswith(
            "graphiql.min.js"
        )
    assert (await http.get("/graphql/assets/..%2Findex.html")).status_code == 404


async def test_a_key_that_no_header_can_hold_is_refused_by_its_name(graph: Graph) -> None:
    verb = 'mutation ($key: String!) { createObjective(input: {name: "Grow", stakeholder: CEO}, idempotencyKey: $key)'
    for key in ("line\nbreak", "nul\0", "schlüssel"):
        payload = (await graph(f"{verb} {{ errors {{ field code }} }} }}", key=key))["createObjective"]
        assert payload == {"errors": [{"field": "idempotencyKey", "code": "invalid"}]}
