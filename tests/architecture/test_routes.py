"""What routes promise: a scope on every one, names that are unique over all services."""

import json
from collections.abc import Iterator
from typing import Any

from tests.parts import APPS

# Who calls these can't have a token yet, or is known by something else: a signature, a service account.
OPEN = {"issue_token", "get_jwks", "get_metadata", "receive_webhook", "check_webhook", "receive_events"}


# Of no workspace, so that no key of one is kept; a UUID of the operator's own, or doing nothing twice, serves them.
OPERATOR = {
    "create_workspace", "create_workspace_admin", "suspend_workspace", "resume_workspace", "rotate_signing_keys",
    "withdraw_signing_key",
}  # fmt: skip


def operations() -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    for part, app in APPS.items():
        for path, methods in app.openapi()["paths"].items():
            for method, operation in methods.items():
                yield part, method, path, operation


def test_every_route_asks_for_a_scope() -> None:
    for part, method, path, operation in operations():
        if operation["operationId"] not in OPEN and not path.startswith("/graphql"):
            scopes = [scope for each in operation.get("security", []) for scope in each.get("OAuth2", [])]
            assert scopes, f"{part} {method} {path}"


def test_names_of_operations_are_unique_over_all_services() -> None:
    names = [
        operation["operationId"]
        for part, _, _, operation in operations()
        if operation["operationId"] != "receive_events"
    ]
    assert len(names) == len(set(names))


def test_every_route_says_what_it_does() -> None:
    for part, method, path, operation in operations():
        assert operation.get("description"), f"{part} {method} {path}"


def test_a_name_of_a_model_means_one_thing() -> None:
    seen: dict[str, str] = {}
    for part, app in APPS.items():
        if part != "gateway":
            for name, schema in app.openapi()["components"]["schemas"].items():
                text = json.dumps(schema, sort_keys=True)
                assert seen.setdefault(name, text) == text, f"{name} of {part} differs from another service's"


def test_lists_answer_in_pages() -> None:
    for part, method, path, operation in operations():
        if method == "get" and operation["operationId"].startswith("list_"):
            answer = operation["responses"]["200"]["content"]["application/json"]["schema"]
            shapes = [each["$ref"].rpartition("/")[2] for each in answer.get("anyOf", [answer])]
            schema = APPS[part].openapi()["components"]["schemas"][shapes[0]]
            assert "items" in schema["properties"], f"{part} {path} answers {shapes}"
            ids = [each for each in operation["parameters"] if each["name"].endswith("_id") and each.get("required")]
            # What hangs on rows that are named is answered whole; every other list can be walked.
            assert ids or "next_cursor" in schema["properties"], f"{part} {path} has no next page"


def test_every_write_through_the_session_takes_an_idempotency_key() -> None:
    """Uploads and webhooks don't: a file is found by its bytes, an event by its own key. Questions by POST needn't."""
    without = {
        operation["operationId"]
        for _, method, path, operation in operations()
        if method != "get" and "Idempotency-Key" not in [each["name"] for each in operation.get("parameters", [])]
    }
    assert (
        without
        == {
            "create_asset",
            "create_asset_version",
            "create_statement",
            "receive_webhook",
            "query_series",
            "issue_token",
            "receive_events",
        }
        | OPERATOR
    )
