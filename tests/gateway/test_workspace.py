"""What workspaces promise: their people change them, services hear of it, and only the operator opens or suspends."""

from chassis.fields import new_id
from tests.gateway.access import as_bearer, grant, new_client, operator, token_of
from tests.gateway.conftest import Ask
from tests.parts import APPS, Connect, Deliver, Workspace


async def test_a_workspace_is_changed_by_its_admins_and_every_service_hears(
    connect: Connect, workspace: Workspace, deliver: Deliver
) -> None:
    admin = connect("gateway", workspace)
    seen = (await admin.get("/v1/workspace")).json()
    assert (seen["id"], seen["zone"], seen["currency"], seen["state"]) == (
        str(workspace.id), "Europe/Berlin", "EUR", "active",
    )  # fmt: skip
    change = {"name": "Renamed", "zone": "America/New_York", "currency": "USD"}
    assert (await admin.patch("/v1/workspace", json=change)).status_code == 428
    changed = await admin.patch("/v1/workspace", json=change, headers={"If-Match": str(seen["version"])})
    assert changed.json()["version"] == seen["version"] + 1
    stale = await admin.patch("/v1/workspace", json=change, headers={"If-Match": str(seen["version"])})
    assert stale.status_code == 412
    await deliver()
    from sqlalchemy import text

    for part in ("gateway", "goals", "assets", "budget", "metrics"):
        async with APPS[part].state.database.tenant(workspace.id) as session:
            row = (await session.execute(text("SELECT name, zone, currency FROM workspace"))).one()
        assert tuple(row) == ("Renamed", "America/New_York", "USD"), part
    log = (await admin.get("/v1/audit?kind=workspace")).json()["items"]
    assert [(each["actor"], each["operation"]) for each in log] == [("client:test", "update_workspace")]


async def test_a_workspace_takes_only_a_zone_and_a_currency_that_exist(connect: Connect, workspace: Workspace) -> None:
    admin = connect("gateway", workspace)
    for change in ({"zone": "Mars/Base"}, {"currency": "XXZ"}, {"name": ""}, {"name": None}, {"state": "suspended"}):
        assert (await admin.patch("/v1/workspace", json=change, headers={"If-Match": "*"})).status_code == 422, change
    for role in ("manager", "stakeholder"):
        other = connect("gateway", workspace, role)
        assert (await other.get("/v1/workspace")).status_code == 200
        refused = await other.patch("/v1/workspace", json={"name": "x"}, headers={"If-Match": "*"})
        assert refused.status_code == 403


async def test_the_operator_opens_a_workspace_and_hands_over_the_way_in(
    connect: Connect, workspace: Workspace, deliver: Deliver
) -> None:
    caller = await operator(connect)
    body = {"id": str(new_id()), "name": "Acme", "zone": "Asia/Tokyo", "currency": "JPY"}
    made = await caller.post("/v1/workspaces", json=body)
    assert made.status_code == 201, made.text
    assert (await caller.post("/v1/workspaces", json=body)).status_code == 409, "sent again, it makes no second one"
    client = (await caller.post(f"/v1/workspaces/{body['id']}/admins")).json()
    assert client["created_by"] == "operator"
    await deliver()
    token = await token_of(connect, client)
    goals = await as_bearer(connect, "goals", token)
    assert (await goals.get("/v1/campaigns")).json()["items"] == []
    admin = await as_bearer(connect, "gateway", token)
    log = (await admin.get("/v1/audit")).json()["items"]
    assert [(each["actor"], each["operation"], each["kind"]) for each in log] == [
        ("operator", "create_workspace", "workspace"), ("operator", "create_workspace_admin", "api_client"),
    ]  # fmt: skip
    seen = [each["id"] for each in (await caller.get("/v1/workspaces?limit=200&sort=-id")).json()["items"]]
    assert body["id"] in seen
    assert str(workspace.id) in seen
    assert (await caller.post(f"/v1/workspaces/{new_id()}/admins")).status_code == 404


async def test_a_suspended_workspace_gets_no_tokens_until_it_is_resumed(connect: Connect, workspace: Workspace) -> None:
    caller, client = await operator(connect), await new_client(connect, workspace)
    assert (await caller.post(f"/v1/workspaces/{workspace.id}/suspend")).json()["state"] == "suspended"
    assert (await grant(connect, client["id"], client["client_secret"])).json()["error"] == "invalid_client"
    assert (await caller.post(f"/v1/workspaces/{workspace.id}/resume")).json()["state"] == "active"
    assert (await grant(connect, client["id"], client["client_secret"])).status_code == 200


async def test_nobody_but_the_operator_reaches_the_installation(connect: Connect, workspace: Workspace) -> None:
    admin = connect("gateway", workspace)
    for asked in (
        admin.get("/v1/workspaces"),
        admin.post("/v1/workspaces", json={"name": "x", "zone": "UTC", "currency": "EUR"}),
        admin.post(f"/v1/workspaces/{workspace.id}/admins"),
        admin.post(f"/v1/workspaces/{workspace.id}/suspend"),
        admin.get("/v1/signing-keys"),
        admin.post("/v1/signing-keys/rotate"),
        admin.post("/v1/signing-keys/test/withdraw"),
    ):
        answer = await asked
        assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")


async def test_access_is_kept_in_the_graph_too(graph_of: Ask, workspace: Workspace) -> None:
    graph = await graph_of(workspace)
    made = await graph(
        """mutation { createMember(input: {name: "Ada", roles: [MANAGER], subject: "company:ada"})
           { member { id version } errors { code } } }"""
    )
    member = made["createMember"]["member"]
    renamed = await graph(
        """mutation ($id: ID!) { updateMember(id: $id, input: {name: "A."}, ifMatch: "1")
           { member { name } errors { code } } }""",
        id=member["id"],
    )
    assert renamed["updateMember"] == {"member": {"name": "A."}, "errors": []}
    seen = await graph("{ workspace { name zone } me { subject } members(first: 5) { nodes { name subject } } }")
    assert seen == {
        "workspace": {"name": "Test", "zone": "Europe/Berlin"}, "me": {"subject": "client:test"},
        "members": {"nodes": [{"name": "A.", "subject": "company:ada"}]},
    }  # fmt: skip
    refused = await (await graph_of(workspace, "manager")).ask(
        'mutation { createMember(input: {name: "Eve", roles: [ADMIN]}) { errors { code } } }'
    )
    assert refused["data"]["createMember"]["errors"] == [{"code": "scope_missing"}]
