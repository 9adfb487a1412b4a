"""What endpoints are: who may have what sent where, and what they are told of it."""

import base64
from datetime import timedelta
from typing import Any

import asyncpg
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.testing import Clock, TestStack
from gateway.endpoint.rules import FAILING_FOR, is_lost, meaningless, patterns_of
from gateway.happening.catalog import happening_types
from tests.parts import Connect, Workspace

ENDPOINT = {"url": "https://hooks.example.com/mops", "description": "Warehouse", "types": ["goals.*"]}


async def made(client: httpx.AsyncClient, **changes: Any) -> dict[str, Any]:
    answer = await client.post("/v1/endpoints", json={**ENDPOINT, **changes})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.fixture
def admin(connect: Connect, workspace: Workspace) -> httpx.AsyncClient:
    return connect("gateway", workspace)


async def test_a_secret_is_shown_once_and_kept_sealed(admin: httpx.AsyncClient, clock: Clock, stack: TestStack) -> None:
    endpoint = await made(admin)
    first = endpoint.pop("secret")
    assert len(base64.b64decode(first.removeprefix("whsec_"), validate=True)) == 32
    path = f"/v1/endpoints/{endpoint['id']}"
    assert (await admin.get(path)).json() == endpoint
    assert (await admin.get("/v1/endpoints")).json()["items"] == [endpoint]
    turned = (await admin.post(f"{path}/rotate", json={"keep_old_minutes": 5})).json()
    assert turned["secret"] != first
    assert turned["old_secret_ends_at"] == "2026-06-15T12:05:00Z"
    ended = (await admin.post(f"{path}/rotate", json={"keep_old_minutes": 0})).json()
    assert ended["old_secret_ends_at"] is None
    db = await asyncpg.connect(stack.admin_dsn)
    kept = str(await db.fetch("SELECT * FROM gateway.endpoint")) + str(await db.fetch("SELECT * FROM gateway.audit"))
    await db.close()
    for secret in (first, turned["secret"], ended["secret"]):
        raw = base64.b64decode(secret.removeprefix("whsec_"))
        assert secret not in kept
        assert repr(raw)[2:-1] not in kept


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("url", {"url": "http://hooks.example.com/"}),
        ("url", {"url": "https://10.0.0.1/"}),
        ("url", {"url": "https://2130706433/"}),
        ("url", {"url": "https://0x7f.1/"}),
        ("url", {"url": "https://127.0.0.1./"}),
        ("url", {"url": "https://[::ffff:127.0.0.1]/"}),
        ("url", {"url": "https://user:word@hooks.example.com/"}),
        ("url", {"url": "ftp://hooks.example.com/"}),
        ("url", {"url": "https://"}),
        ("types.1", {"types": ["goals.*", "goals.nothing.*"]}),
        ("types.0", {"types": ["goals.campaign"]}),
        ("types.0", {"types": ["Goals.*"]}),
        ("types", {"types": []}),
        ("secret", {"secret": "whsec_own"}),
    ],
)
async def test_what_nobody_could_be_told_of_or_at_is_refused_by_field(
    admin: httpx.AsyncClient, field: str, change: dict[str, Any]
) -> None:
    answer = await admin.post("/v1/endpoints", json={**ENDPOINT, **change})
    assert answer.status_code == 422, answer.text
    assert [each["field"] for each in answer.json()["errors"]] == [field]
    endpoint = await made(admin)
    edit = await admin.patch(f"/v1/endpoints/{endpoint['id']}", json=change, headers={"If-Match": "*"})
    assert edit.status_code == 422, edit.text


async def test_nobody_has_sent_elsewhere_what_they_may_not_read(
    admin: httpx.AsyncClient, connect: Connect, workspace: Workspace
) -> None:
    few = ["identity:write", "identity:read", "goals:read"]
    narrow = connect("gateway")
    narrow.headers["Authorization"] = f"Bearer {workspace.token('admin', scopes=few)}"
    refused = await narrow.post("/v1/endpoints", json={**ENDPOINT, "types": ["goals.*", "budget.*"]})
    assert [each["field"] for each in refused.json()["errors"]] == ["types.1"]
    assert (await made(narrow, types=["*"]))["parts"] == ["goals"]
    wide = await made(admin, types=["*"])
    assert wide["parts"] == ["gateway", "goals", "assets", "budget", "metrics"]
    path = f"/v1/endpoints/{wide['id']}"
    for answer in (
        await narrow.patch(path, json={"url": "https://elsewhere.example.com"}, headers={"If-Match": "*"}),
        await narrow.post(f"{path}/rotate", json={}),
        await narrow.post(f"{path}/enable"),
        await narrow.post(f"{path}/replay", json={"since": "2026-06-15T10:00:00Z"}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (403, "beyond_own")
    for role in ("manager", "specialist", "contributor", "stakeholder"):
        assert (await connect("gateway", workspace, role).get("/v1/endpoints")).status_code == 403


async def test_an_edit_names_what_it_has_seen_and_leaves_the_rest(admin: httpx.AsyncClient) -> None:
    endpoint = await made(admin)
    path = f"/v1/endpoints/{endpoint['id']}"
    changed = await admin.patch(path, json={"types": ["*"]}, headers={"If-Match": '"1"'})
    assert changed.json() == {**_shown(endpoint), "types": ["*"], "version": 2}
    stale = await admin.patch(path, json={"types": ["goals.*"]}, headers={"If-Match": '"1"'})
    assert stale.status_code == 412
    assert (await admin.delete(path)).status_code == 200
    assert (await admin.get(path)).status_code == 404


async def test_what_is_told_nothing_cannot_be_tried(admin: httpx.AsyncClient, clock: Clock) -> None:
    path = f"/v1/endpoints/{(await made(admin))['id']}"
    assert (await admin.post(f"{path}/disable")).json()["state"] == "disabled"
    for answer in (
        await admin.post(f"{path}/test"),
        await admin.post(f"{path}/replay", json={"since": "2026-06-15T10:00:00Z"}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (409, "endpoint_inactive")
    assert (await admin.post(f"{path}/enable")).json()["state"] == "active"
    to_come = await admin.post(f"{path}/replay", json={"since": "2026-06-15T12:00:01Z"})
    assert [each["field"] for each in to_come.json()["errors"]] == ["since"]


def _shown(endpoint: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in endpoint.items() if name != "secret"}


TYPES = sorted(happening_types())


@given(st.sampled_from(TYPES), st.sampled_from([*TYPES, *{pattern for each in TYPES for pattern in patterns_of(each)}]))
def test_a_pattern_fits_what_begins_as_it_does(event_type: str, pattern: str) -> None:
    begins = pattern == "*" or (pattern.endswith(".*") and event_type.startswith(pattern[:-1]))
    assert (pattern in patterns_of(event_type)) == (begins or pattern == event_type)
    assert meaningless([pattern], TYPES) == []
    assert meaningless([pattern + "x"], TYPES) == [0]


@given(st.timedeltas(timedelta(0), timedelta(days=30)))
def test_an_endpoint_is_lost_after_five_days_of_nothing_but_failures(span: timedelta) -> None:
    now = Clock().now
    assert is_lost(now - span, now) == (span >= FAILING_FOR)
    assert not is_lost(None, now)
