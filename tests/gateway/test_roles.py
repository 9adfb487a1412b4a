"""What a role may, shown on every operation there is: allowed or 403, exactly as its scopes say."""

import re
from pathlib import Path
from typing import Any

import pytest

from chassis.roles import ALL_SCOPES, SCOPES, Role
from tests.parts import APPS, Connect, Workspace

SOME_ID = "0197c0de-0000-7000-8000-000000000001"
DOC = Path(__file__).parent.parent.parent / "docs" / "identity.md"


def operations() -> list[tuple[str, str, str, list[str]]]:
    """Part, method, path and scopes of every operation that asks for a scope."""
    found = []
    for part, app in APPS.items():
        for path, methods in app.openapi()["paths"].items():
            for method, operation in methods.items():
                needed = [scope for each in operation.get("security", []) for scope in each.get("OAuth2", [])]
                if needed:
                    found.append((part, method, path, needed))
    return found


@pytest.mark.parametrize("role", Role)
async def test_a_role_may_what_its_scopes_say_on_every_operation(
    connect: Connect, workspace: Workspace, role: Role
) -> None:
    wrong = {}
    for part, method, path, needed in operations():
        sent: dict[str, Any] = {"json": {}} if method in ("post", "put", "patch") else {}
        answer = await connect(part, workspace, role).request(
            method.upper(), re.sub(r"\{\w+\}", SOME_ID, path), headers={"If-Match": "*"}, **sent
        )
        refused = answer.status_code == 403 and answer.json()["code"] == "scope_missing"
        if refused != (not set(needed) <= SCOPES[role]):
            wrong[f"{part} {method} {path}"] = (answer.status_code, needed)
    assert wrong == {}


def test_every_scope_that_an_operation_asks_for_is_a_role_s_or_the_operator_s() -> None:
    asked = {scope for *_, needed in operations() for scope in needed}
    assert asked - {"platform:read", "platform:write"} <= set(ALL_SCOPES)


def test_the_table_in_the_docs_is_the_code_s() -> None:
    rows = re.findall(r"^\| `([a-z]+:[a-z]+)` \|(.*)\|$", DOC.read_text(), re.MULTILINE)
    told = {scope: [cell.strip() == "yes" for cell in cells.split("|")] for scope, cells in rows}
    assert told == {scope: [scope in SCOPES[role] for role in Role] for scope in ALL_SCOPES}
