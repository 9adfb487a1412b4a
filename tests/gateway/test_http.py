"""What the graph's route promises whoever speaks HTTP to it: what npm's graphql-http audits, and what it leaves out."""

import gzip
import json
import re
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from gateway.allowance import Allowance
from gateway.execution.documents import Documents
from gateway.failures import MOST_FIELDS
from gateway.trusted import Trusted, read_manifest
from tests.gateway.conftest import Graph
from tests.parts import Connect, Workspace

MODERN, LEGACY = "application/graphql-response+json", "application/json"
ASKED = {"query": "{ __typename }"}
TYPED = "query Type($name: String!) { __type(name: $name) { name } }"
NAMED = {"query": TYPED, "variables": {"name": "Run🏃Swim🏊"}}


def code(response: httpx.Response) -> Any:
    return response.json()["errors"][0]["extensions"]["code"]


async def post(graph: Graph, body: Any, accept: str | None = None, media: str | None = LEGACY) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
    request = graph.http.build_request("POST", "/graphql", content=content)
    for name, value in (("Accept", accept), ("Content-Type", media)):
        request.headers.pop(name, None)
        if value is not None:
            request.headers[name] = value
    return await graph.http.send(request)


@pytest.fixture
def explaining(apps: dict[str, FastAPI], monkeypatch: pytest.MonkeyPatch) -> None:
    """The graph tells its schema."""
    state = apps["gateway"].state
    monkeypatch.setitem(state._state, "documents", Documents(state.graph, explains=True))


@pytest.mark.parametrize("authorization", ["", "Bearer nonsense", "Basic YTpi"])
async def test_nothing_is_answered_without_a_token(connect: Connect, authorization: str) -> None:
    response = await connect("gateway").post("/graphql", json=ASKED, headers={"Authorization": authorization})
    assert (response.status_code, code(response)) == (401, "UNAUTHENTICATED")
    assert response.headers["www-authenticate"] == "Bearer"


ACCEPTED = (
    (None, LEGACY), ("*/*", LEGACY), (LEGACY, LEGACY), (MODERN, MODERN), (f"{MODERN}, {LEGACY};q=0.9", MODERN),
     (f"{LEGACY}, {MODERN}", MODERN), (f"{MODERN};q=0.1, {LEGACY}", LEGACY), ("text/html, */*;q=0.8", LEGACY),
     (f"{LEGACY}; charset=UTF-8", LEGACY), ("text/csv", None), (f"{MODERN};q=0", None),
     (f"{LEGACY}; charset=latin-1", None), (f'{MODERN}; charset="utf-8"', MODERN),
     (f"{LEGACY};q=0, */*", MODERN), (f"*/*, {LEGACY}; q=0, {MODERN}; q=0", None),
)  # fmt: skip


async def test_the_answers_media_type_is_the_one_asked_for(graph: Graph) -> None:
    for accept, found in ACCEPTED:
        response = await post(graph, ASKED, accept)
        assert response.status_code == (200 if found else 406), accept
        if found:
            assert response.headers["content-type"] == f"{found}; charset=utf-8", accept
            assert response.json()["data"] == {"__typename": "Query"}
    # Lines of one name are one list.
    lines = [("Accept", "text/html"), ("Accept", MODERN)]
    answer = await graph.http.get("/graphql", params=ASKED, headers=lines)
    assert (answer.status_code, answer.headers["content-type"]) == (200, f"{MODERN}; charset=utf-8")


@pytest.mark.usefixtures("explaining")
async def test_every_parameter_that_the_specification_has_is_taken(graph: Graph) -> None:
    asked = [NAMED, {"query": "query Query { __typename }", "operationName": "Query"}]
    asked += [ASKED | {name: None} for name in ("variables", "operationName", "extensions")]
    asked += [ASKED | {"extensions": {"some": "value"}}]
    for body, accept in product(asked, (None, "*/*", LEGACY, MODERN)):
        response = await post(graph, body, accept, f'{LEGACY}; charset="UTF-8"')
        assert response.status_code == 200, body
        assert "errors" not in response.json()


async def test_a_parameter_of_another_kind_is_refused_by_its_name(graph: Graph) -> None:
    kinds = {"query": str, "operationName": str, "variables": dict, "extensions": dict}
    for (name, kind), wrong in product(kinds.items(), ({"obj": "ect"}, 0, False, ["array"], "text")):
        if not isinstance(wrong, kind):
            response = await post(graph, ASKED | {name: wrong})
            assert (response.status_code, code(response)) == (400, "BAD_REQUEST"), (name, wrong)
            assert name in response.text


async def test_a_body_that_isnt_a_request_is_refused(graph: Graph) -> None:
    unread = (b"", b"{", b"[]", b"{}", b'{"qeury": "{ a }"}', b"\xff", b"[" * 50_000)
    for body, accept in product(unread, (LEGACY, MODERN)):
        assert (await post(graph, body, accept)).status_code == 400, body[:20]
    assert (await post(graph, b'{"query": "' + b" " * 70_000 + b'"}')).status_code == 413


async def test_a_document_that_doesnt_hold_is_400_or_for_older_clients_200(graph: Graph) -> None:
    for query in (
        "{",
        "{ nothing }",
        "query($a: Int!) { a: __typename }",
        "query($id: ID!) { campaign(id: $id) { id } }",
    ):
        asked = {"query": query, "variables": {"id": None}}
        modern, older = [await post(graph, asked, accept) for accept in (MODERN, LEGACY)]
        assert (modern.status_code, older.status_code) == (400, 200), query
        assert "data" not in modern.json()
        assert older.json() == modern.json()


async def test_a_form_elsewhere_cant_ask(graph: Graph) -> None:
    forms = ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data")
    for media in (*forms, None, f"{LEGACY}; charset=latin-1"):
        response = await post(graph, ASKED, media=media)
        assert (response.status_code, code(response)) == (415, "UNSUPPORTED_MEDIA_TYPE")


async def test_a_packed_body_is_refused_by_its_encoding(graph: Graph) -> None:
    packed = gzip.compress(json.dumps(ASKED).encode())
    response = await graph.http.post(
        "/graphql", content=packed, headers={"Content-Type": LEGACY, "Content-Encoding": "gzip"}
    )
    assert (response.status_code, code(response)) == (415, "UNSUPPORTED_CONTENT_ENCODING")
    assert response.headers["accept-encoding"] == "identity"


async def test_a_read_that_is_refused_names_its_arguments_with_the_words_that_rest_has(
    graph: Graph, connect: Connect, workspace: Workspace
) -> None:
    answer = await post(graph, {"query": '{ campaigns(id: ["x"], createdFrom: "2026-01-01") { nodes { id } } }'})
    (error,) = answer.json()["errors"]
    rest = (await connect("goals", workspace).get("/v1/campaigns?id=x&created_from=2026-01-01")).json()["errors"]
    assert [each["field"] for each in error["extensions"]["errors"]] == ["id.0", "createdFrom"]
    said = [[each["code"], each["message"]] for each in error["extensions"]["errors"]]
    assert said == [[each["code"], each["message"]] for each in rest]
    # A few will do, as each row may say them again.
    answer = await post(graph, {"query": f"{{ campaigns(id: {json.dumps(['x'] * 100)}) {{ nodes {{ id }} }} }}"})
    assert len(answer.json()["errors"][0]["extensions"]["errors"]) == MOST_FIELDS


@pytest.mark.usefixtures("explaining")
async def test_get_asks_and_never_changes(graph: Graph) -> None:
    for accept in ("*/*", LEGACY, MODERN):
        asked = {"query": TYPED, "variables": '{"name": "sometype"}'}
        answer = await graph.http.get("/graphql", params=asked, headers={"Accept": accept})
        assert (answer.status_code, answer.json()["data"]) == (200, {"__type": None})
    change = 'mutation { createObjective(input: {name: "x", stakeholder: CEO}) { objective { id } } }'
    for method in ("PUT", "DELETE", "HEAD"):
        other = await graph.http.request(method, "/graphql", params={"query": change})
        assert (other.status_code, set(other.headers["allow"].split(", "))) == (405, {"GET", "POST"}), method
    refused = await graph.http.get("/graphql", params={"query": change})
    assert (refused.status_code, refused.headers["allow"]) == (405, "POST")
    assert (await graph("{ objectives { nodes { id } } }")) == {"objectives": {"nodes": []}}


async def test_one_of_several_operations_is_named(graph: Graph) -> None:
    both = "query A { a: __typename } query B { b: __typename }"
    named = await post(graph, {"query": both, "operationName": "B"})
    assert named.json()["data"] == {"b": "Query"}
    assert (await post(graph, {"query": both}, MODERN)).status_code == 400


async def test_a_page_elsewhere_may_ask_where_the_settings_name_its_origin(
    graph: Graph, apps: dict[str, FastAPI], monkeypatch: pytest.MonkeyPatch
) -> None:
    preflight = {
        "Origin": "https://app.example.com", "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization, content-type",
    }  # fmt: skip
    assert "access-control-allow-origin" not in (await graph.http.options("/graphql", headers=preflight)).headers
    monkeypatch.setattr(apps["gateway"].state.settings, "cors_origins", ["https://app.example.com"])
    allowed = await graph.http.options("/graphql", headers=preflight)
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, "https://app.example.com")
    answer = await graph.http.post("/graphql", json=ASKED, headers={"Origin": "https://app.example.com"})
    assert "Retry-After" in answer.headers["access-control-expose-headers"]
    other = await graph.http.options("/graphql", headers=preflight | {"Origin": "https://evil.example.com"})
    assert (other.status_code, "access-control-allow-origin" in other.headers) == (400, False)


async def test_a_graph_that_doesnt_explain_itself_tells_neither_schema_nor_names(graph: Graph) -> None:
    told = await post(graph, {"query": "{ __schema { types { name } } }"}, MODERN)
    assert (told.status_code, "introspection" in told.text) == (400, True)
    assert "Did you mean" not in (await post(graph, {"query": "{ campaing { id } }"})).text


@pytest.mark.usefixtures("explaining")
async def test_a_graph_that_explains_itself_says_what_was_meant(graph: Graph) -> None:
    assert "Did you mean 'campaign'" in (await post(graph, {"query": "{ campaing { id } }"})).text


def by_hash(query: str | None, text: str) -> dict[str, Any]:
    persisted = {"version": 1, "sha256Hash": sha256(text.encode()).hexdigest()}
    return ({"query": query} if query else {}) | {"extensions": {"persistedQuery": persisted}}


async def test_a_document_sent_once_with_its_hash_goes_by_the_hash(graph: Graph) -> None:
    text = "{ __typename once: __typename }"
    unknown = await post(graph, by_hash(None, text))
    assert (unknown.json()["errors"][0]["message"], code(unknown)) == (
        "PersistedQueryNotFound",
        "PERSISTED_QUERY_NOT_FOUND",
    )
    assert code(await post(graph, by_hash("{ __typename }", text))) == "PERSISTED_QUERY_MISMATCH"
    assert code(await post(graph, by_hash("{ nothing }", "{ nothing }"))) == "GRAPHQL_VALIDATION_FAILED"
    assert code(await post(graph, by_hash(None, "{ nothing }"))) == "PERSISTED_QUERY_NOT_FOUND"
    for asked in (by_hash(text, text), by_hash(None, text)):
        assert (await post(graph, asked)).json()["data"] == {"__typename": "Query", "once": "Query"}
    extensions = json.dumps(by_hash(None, text)["extensions"])
    assert (await graph.http.get("/graphql", params={"extensions": extensions})).json()["data"]["once"] == "Query"


@pytest.mark.parametrize(
    "manifest",
    [{"sha256:abc": "{ __typename }"}, {"operations": [{"id": "abc", "body": "{ __typename }", "type": "query"}]}],
)
async def test_where_only_listed_documents_are_trusted_no_others_are_answered(
    graph: Graph, apps: dict[str, FastAPI], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, manifest: Any
) -> None:
    path = tmp_path / "documents.json"
    path.write_text(json.dumps(manifest))
    monkeypatch.setitem(apps["gateway"].state._state, "trusted", Trusted(read_manifest(path), only=True))
    for asked in ({"documentId": "sha256:abc"}, {"documentId": "abc"}, ASKED):
        assert (await post(graph, asked)).json()["data"] == {"__typename": "Query"}
    other = "{ other: __typename }"
    for unlisted in ({"query": other}, by_hash(other, other)):
        assert code(await post(graph, unlisted)) == "UNTRUSTED_DOCUMENT"
    assert code(await post(graph, {"documentId": "abd"})) == "PERSISTED_QUERY_NOT_FOUND"
    # An id that is listed means what is listed under it, where others are answered too.
    monkeypatch.setitem(apps["gateway"].state._state, "trusted", Trusted(read_manifest(path), only=False))
    assert code(await post(graph, {"documentId": "abc", "query": other})) == "PERSISTED_QUERY_MISMATCH"
    assert (await post(graph, {"documentId": "abc", **ASKED})).json()["data"] == {"__typename": "Query"}
    path.write_text('{"abc": 1}')
    with pytest.raises(ValueError, match=r"documents\.json isn't a map of documents"):
        read_manifest(path)


async def test_a_client_that_asks_for_too_much_waits_and_no_other_does(
    graph: Graph, graph_of: Any, other_workspace: Workspace, apps: dict[str, FastAPI], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setitem(apps["gateway"].state._state, "allowance", Allowance(600, lambda: now[0]))
    asked = {"query": "{ campaigns(first: 200) { nodes { id } } __typename }"}
    for _ in range(3):
        answer = await post(graph, asked)
        assert answer.json()["extensions"] == {"cost": {"objects": 200}}
    refused = await post(graph, asked)
    assert (refused.status_code, refused.headers["retry-after"], code(refused)) == (429, "20", "COST_EXHAUSTED")
    assert (await post(await graph_of(other_workspace), asked)).status_code == 200
    assert (await post(graph, ASKED)).status_code == 200
    now[0] += 20
    assert (await post(graph, asked)).status_code == 200
    assert (await post(graph, asked)).status_code == 429


def test_an_allowance_grows_back_to_a_minutes_worth_and_no_further() -> None:
    now = [0.0]
    allowance = Allowance(60, lambda: now[0])
    allowance.take("a", 1000)
    assert allowance._left["a"].objects == 0
    now[0] = 600
    allowance.take("a", 0)
    assert allowance._left["a"].objects == 60


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
