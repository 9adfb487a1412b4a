"""What was released keeps holding: a change that breaks callers is told from one that doesn't, and must be declared."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploy import contracts
from deploy.breaking import Break, declared, of_graph, of_openapi, undeclared

Change = Callable[[dict[str, Any]], Any]

BOOK = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "format": "uuid"},
        "title": {"type": "string", "maxLength": 100},
        "kind": {"type": "string", "enum": ["novel", "poem"]},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
    },
    "required": ["id", "title", "kind"],
}
BOOK_CREATE = {
    "type": "object",
    "additionalProperties": False,
    "properties": {name: each for name, each in BOOK["properties"].items() if name != "id"},  # type: ignore[attr-defined]
    "required": ["title"],
}
READ = {"application/json": {"schema": {"$ref": "#/components/schemas/BookRead"}}}
DOCUMENT: dict[str, Any] = {
    "paths": {
        "/v1/books": {
            "post": {
                "operationId": "create_book",
                "security": [{"OAuth2": ["books:write"]}],
                "parameters": [{"name": "dry", "in": "query", "required": False, "schema": {"type": "integer"}}],
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/BookCreate"}}},
                },
                "responses": {"201": {"content": READ}, "409": {}},
            },
        },
        "/v1/books/{id}": {"get": {"operationId": "get_book", "responses": {"200": {"content": READ}}}},
    },
    "components": {"schemas": {"BookRead": BOOK, "BookCreate": BOOK_CREATE}},
}


def create(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document["paths"]["/v1/books"]["post"]
    return found


def fields(document: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = document["components"]["schemas"][name]["properties"]
    return found


def put(where: dict[str, Any], **fields: Any) -> None:
    where |= fields


BREAKING: dict[str, tuple[Change, str]] = {
    "an operation that is gone": (lambda d: d["paths"].pop("/v1/books/{id}"), "get_book: GET /v1/books/{id} is gone"),
    "an operation of another name": (lambda d: put(create(d), operationId="add_book"), "is now called add_book"),
    "a field that is gone": (lambda d: fields(d, "BookRead").pop("note"), "201.note of the answer is gone"),
    "a field that isn't taken any more": (
        lambda d: fields(d, "BookCreate").pop("note"), "body.note of the request is gone",
    ),
    "a new input that is needed": (
        lambda d: d["components"]["schemas"]["BookCreate"]["required"].append("kind"), "body.kind of the request",
    ),
    "a new parameter that is needed": (
        lambda d: create(d)["parameters"].append(
            {"name": "shelf", "in": "query", "required": True, "schema": {"type": "string"}}
        ),
        "now needs the query parameter shelf",
    ),
    "a parameter that is gone": (lambda d: create(d)["parameters"].clear(), "no longer takes the query parameter dry"),
    "an enumeration that takes less": (
        lambda d: fields(d, "BookCreate")["kind"].update(enum=["novel"]), "no longer takes poem",
    ),
    "a field of another type": (
        lambda d: put(fields(d, "BookRead"), title={"type": "integer"}), "201.title of the answer was string",
    ),
    "a field of another format": (
        lambda d: put(fields(d, "BookRead"), id={"type": "string"}), "201.id of the answer was string uuid",
    ),
    "a field that can be null now": (
        lambda d: put(fields(d, "BookRead"), title=BOOK["properties"]["note"]), "201.title of the answer can be null",  # type: ignore[index]
    ),
    "a field that can be absent now": (
        lambda d: d["components"]["schemas"]["BookRead"].update(required=["id"]), "201.kind of the answer can be",
    ),
    "a status that is gone": (lambda d: create(d)["responses"].pop("409"), "no longer answers 409"),
    "a bound that is narrower": (
        lambda d: fields(d, "BookCreate")["title"].update(maxLength=50), "has a maxLength of 50 now",
    ),
    "a scope that is asked for too": (
        lambda d: put(create(d), security=[{"OAuth2": ["books:write", "books:approve"]}]), "needs the scope books",
    ),
    "another body": (
        lambda d: put(create(d)["requestBody"], content={"text/plain": {}}), "no longer takes application/json",
    ),
}  # fmt: skip

HARMLESS: dict[str, Change] = {
    "nothing": lambda d: None,
    "a new operation": lambda d: d["paths"].update({"/v1/shelves": {"get": {"operationId": "list_shelves"}}}),
    "a new field": lambda d: put(fields(d, "BookRead"), pages={"type": "integer"}),
    "a new input that may be left out": lambda d: put(fields(d, "BookCreate"), pages={"type": "integer"}),
    "a new parameter that may be left out": lambda d: create(d)["parameters"].append(
        {"name": "shelf", "in": "query", "required": False, "schema": {"type": "string"}}
    ),
    "an input that needn't be sent any more": lambda d: d["components"]["schemas"]["BookCreate"].update(required=[]),
    "an enumeration that takes more": lambda d: fields(d, "BookCreate")["kind"].update(enum=["novel", "poem", "essay"]),
    "a wider bound": lambda d: fields(d, "BookCreate")["title"].update(maxLength=500),
    "other words": lambda d: put(create(d), description="Makes a book."),
    "an integer that may be any number": lambda d: create(d)["parameters"][0].update(schema={"type": "number"}),
    "a new status": lambda d: create(d)["responses"].update({"202": {}}),
}


@pytest.mark.parametrize("name", BREAKING)
def test_a_breaking_change_is_told(name: str) -> None:
    change, says = BREAKING[name]
    new = copy.deepcopy(DOCUMENT)
    change(new)
    found = of_openapi(DOCUMENT, new)
    assert any(says in str(each) for each in found), found


@pytest.mark.parametrize("name", HARMLESS)
def test_an_addition_breaks_nobody(name: str) -> None:
    new = copy.deepcopy(DOCUMENT)
    HARMLESS[name](new)
    assert of_openapi(DOCUMENT, new) == []


GRAPH = """
type Query { book(id: ID): Book }
type Book { id: ID! title: String! kind: Kind! }
enum Kind { NOVEL POEM }
type Mutation { createBook(title: String!): Book }
"""


@pytest.mark.parametrize(
    ("old", "new", "subject"),
    [
        (" kind: Kind!", "", "Book.kind"),
        ("title: String! ", "title: Int! ", "Book.title"),
        (" POEM", "", "Kind.POEM"),
        ("createBook(title: String!)", "createBook(title: String!, kind: Kind!)", "Mutation.createBook"),
        ("createBook(title: String!)", "createBook", "Mutation.createBook"),
    ],
)
def test_a_breaking_change_of_the_graph_is_told(old: str, new: str, subject: str) -> None:
    (found,) = of_graph(GRAPH, GRAPH.replace(old, new))
    assert found.subject == subject


def test_an_addition_to_the_graph_breaks_nobody() -> None:
    assert of_graph(GRAPH, GRAPH.replace("NOVEL", "NOVEL ESSAY").replace("id: ID!", "id: ID! pages: Int")) == []


def test_a_break_is_declared_in_the_newest_section() -> None:
    changelog = "# Changelog\n\n## Next\n\n- BREAKING: create_book: nobody did\n- BREAKING: Book: a new shape\n"
    changelog += "\n## 0.1\n\n- BREAKING: get_book: long ago\n- BREAKING: list_books:\n"
    assert declared(changelog) == {"create_book", "Book"}
    known = [Break("create_book", "x"), Break("Book.title", "x")]
    assert undeclared([*known, Break("get_book", "x")], changelog) == [Break("get_book", "x")]
    assert undeclared(known, changelog) == []


def test_the_contracts_hold_what_was_released() -> None:
    changelog = (contracts.ROOT / "CHANGELOG.md").read_text()
    assert undeclared(contracts.breaks_since(contracts.RELEASED), changelog) == []


def test_a_contract_that_broke_turns_the_check_red(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in contracts.RELEASED.iterdir():
        (tmp_path / path.name).write_text(path.read_text())
    before = json.loads((tmp_path / "goals.json").read_text())
    before["paths"]["/v1/dreams"] = {"get": {"operationId": "list_dreams", "responses": {}}}
    (tmp_path / "goals.json").write_text(json.dumps(before))
    assert contracts.main(["--against", str(tmp_path)]) == 1
    assert "list_dreams: GET /v1/dreams is gone" in capsys.readouterr().err
