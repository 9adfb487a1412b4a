"""What API clients promise: two live secrets at a turn, none after the end, and no more than their maker had."""

import re
import zlib

from sqlalchemy import text

from chassis.testing import Clock
from gateway.identity.client.rules import allowed_scopes
from tests.gateway.access import as_bearer, grant, new_client, token_of
from tests.parts import APPS, Connect, Workspace

ANY = {"If-Match": "*"}


async def test_a_secret_is_shown_once_and_can_be_told_from_a_look_alike(connect: Connect, workspace: Workspace) -> None:
    client = await new_client(connect, workspace)
    found = re.fullmatch(r"mops_(.{32})([0-9a-f]{8})", client["client_secret"])
    assert found
    assert int(found[2], 16) == zlib.crc32(found[1].encode())
    admin = connect("gateway", workspace)
    assert "client_secret" not in (await admin.get(f"/v1/api-clients/{client['id']}")).json()
    async with APPS["gateway"].state.database.tenant(workspace.id) as session:
        rows = (await session.execute(text("SELECT c::text AS row FROM api_client c"))).scalars().all()
        audit = (await session.execute(text("SELECT a::text AS row FROM audit a"))).scalars().all()
    assert audit
    assert all(found[1] not in row for row in (*rows, *audit))


async def test_at_a_turn_both_secrets_live_as_long_as_was_said(
    connect: Connect, workspace: Workspace, clock: Clock
) -> None:
    client = await new_client(connect, workspace, "stakeholder")
    admin = connect("gateway", workspace)
    turn = await admin.post(f"/v1/api-clients/{client['id']}/rotate", json={"keep_old_minutes": 60})
    newest = turn.json()["client_secret"]
    assert turn.json()["old_secret_ends_at"] == "2026-06-15T13:00:00Z"
    for secret in (client["client_secret"], newest):
        assert (await grant(connect, client["id"], secret)).status_code == 200
    clock.forward(minutes=60)
    assert (await grant(connect, client["id"], client["client_secret"])).status_code == 401
    assert (await grant(connect, client["id"], newest)).status_code == 200
    last = (await admin.post(f"/v1/api-clients/{client['id']}/rotate", json={"keep_old_minutes": 0})).json()
    assert (await grant(connect, client["id"], newest)).status_code == 401, "it may have leaked"
    assert (await grant(connect, client["id"], last["client_secret"])).status_code == 200


async def test_a_client_ends_on_the_instant_and_none_is_made_that_has_ended(
    connect: Connect, workspace: Workspace, clock: Clock
) -> None:
    client = await new_client(connect, workspace, "stakeholder", expires_at="2026-06-15T12:30:00Z")
    clock.forward(minutes=29, seconds=59)
    assert (await grant(connect, client["id"], client["client_secret"])).status_code == 200
    clock.forward(seconds=1)
    assert (await grant(connect, client["id"], client["client_secret"])).status_code == 401
    body = {"name": "x", "roles": ["stakeholder"], "expires_at": "2026-06-15T12:30:00Z"}
    refused = await connect("gateway", workspace).post("/v1/api-clients", json=body)
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (422, "past")


def test_a_client_has_nothing_that_its_roles_lack_whatever_it_was_narrowed_to() -> None:
    assert allowed_scopes(["stakeholder"], ["goals:read", "goals:write"]) == {"goals:read"}
    assert allowed_scopes(["stakeholder"], []) == frozenset()


async def test_a_revoked_client_gets_no_tokens_and_administers_nothing_with_the_one_it_has(
    connect: Connect, workspace: Workspace
) -> None:
    await new_client(connect, workspace)
    client = await new_client(connect, workspace)
    own = await as_bearer(connect, "gateway", await token_of(connect, client))
    admin = connect("gateway", workspace)
    revoked = (await admin.post(f"/v1/api-clients/{client['id']}/revoke")).json()
    assert (revoked["revoked_at"], revoked["revoked_by"]) == ("2026-06-15T12:00:00Z", "client:test")
    assert (await grant(connect, client["id"], client["client_secret"])).status_code == 401
    refused = await own.post("/v1/api-clients", json={"name": "Back door", "roles": ["admin"]})
    assert (refused.status_code, refused.json()["code"]) == (403, "access_ended")
    # Nor does it see what is administered.
    for path in ("api-clients", f"api-clients/{client['id']}", "endpoints", f"deliveries?endpoint_id={client['id']}"):
        refused = await own.get(f"/v1/{path}")
        assert (refused.status_code, refused.json()["code"]) == (403, "access_ended"), path
        assert (await admin.get(f"/v1/{path}")).status_code == 200, path
    assert (await admin.post(f"/v1/api-clients/{client['id']}/rotate", json={})).json()["code"] == "revoked"


async def test_nobody_gives_more_than_their_own_token_has(connect: Connect, workspace: Workspace) -> None:
    keeper = await new_client(connect, workspace, "admin", scopes=["identity:write", "identity:read", "metrics:read"])
    whole = await new_client(connect, workspace, "admin")
    own = await as_bearer(connect, "gateway", await token_of(connect, keeper))
    admin = connect("gateway", workspace)
    people = [{"name": "Bob", "roles": ["stakeholder"]}, {"name": "Eve", "roles": ["admin"]}]
    bob, eve = [(await admin.post("/v1/members", json=each)).json()["id"] for each in people]
    await admin.post(f"/v1/members/{eve}/suspend")
    for asked in (
        own.patch(f"/v1/members/{bob}", json={"roles": ["admin"]}, headers=ANY),
        own.post(f"/v1/members/{eve}/resume"),
        own.post("/v1/api-clients", json={"name": "x", "roles": ["stakeholder"]}),
        own.post("/v1/members", json={"name": "x", "roles": ["admin"]}),
        own.post(f"/v1/api-clients/{whole['id']}/rotate", json={}),
        own.patch(f"/v1/api-clients/{keeper['id']}", json={"scopes": None}, headers=ANY),
    ):
        answer = await asked
        assert (answer.status_code, answer.json()["code"]) == (403, "beyond_own")
    narrow = {"name": "x", "roles": ["stakeholder"], "scopes": ["metrics:read"]}
    assert (await own.post("/v1/api-clients", json=narrow)).status_code == 201


async def test_the_last_way_in_can_not_be_closed(connect: Connect, workspace: Workspace) -> None:
    only = await new_client(connect, workspace)
    await new_client(connect, workspace, "admin", expires_at="2030-01-01T00:00:00Z")
    await new_client(connect, workspace, "manager")
    admin = connect("gateway", workspace)
    for asked in (
        admin.post(f"/v1/api-clients/{only['id']}/revoke"),
        admin.patch(f"/v1/api-clients/{only['id']}", json={"scopes": ["goals:read"]}, headers=ANY),
        admin.patch(f"/v1/api-clients/{only['id']}", json={"expires_at": "2030-01-01T00:00:00Z"}, headers=ANY),
    ):
        answer = await asked
        assert (answer.status_code, answer.json()["code"]) == (409, "last_admin")
    assert (await grant(connect, only["id"], only["client_secret"])).status_code == 200
    await new_client(connect, workspace)
    assert (await admin.post(f"/v1/api-clients/{only['id']}/revoke")).status_code == 200


async def test_clients_are_listed_sorted_and_filtered(connect: Connect, workspace: Workspace) -> None:
    admin = connect("gateway", workspace)
    made = [await new_client(connect, workspace, "stakeholder", name=name) for name in ("Beta", "Alpha", "Gamma")]
    await admin.post(f"/v1/api-clients/{made[0]['id']}/revoke")
    names = [each["name"] for each in (await admin.get("/v1/api-clients?sort=name")).json()["items"]]
    assert names == ["Alpha", "Beta", "Gamma"]
    live = (await admin.get("/v1/api-clients?revoked=false&limit=1")).json()
    assert [each["name"] for each in live["items"]] == ["Alpha"]
    rest = (await admin.get(f"/v1/api-clients?revoked=false&limit=1&cursor={live['next_cursor']}")).json()
    assert [each["name"] for each in rest["items"]] == ["Gamma"]
