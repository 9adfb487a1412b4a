"""What the token endpoint promises: RFC 6749 to the letter, nothing more than is allowed, nothing told to guessers."""

import hmac
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import event

from chassis.issuers import TrustedIssuer
from chassis.testing import Clock
from chassis.tokens import Verifier
from gateway.identity.client import rules
from tests.chassis.provider import Provider
from tests.gateway.access import as_bearer, grant, new_client, operator, token_of
from tests.parts import Connect, Workspace

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS = "urn:ietf:params:oauth:token-type:access_token"


async def test_a_client_gets_a_token_for_all_that_its_roles_may(connect: Connect, workspace: Workspace) -> None:
    client = await new_client(connect, workspace, "contributor")
    answer = await grant(connect, client["id"], client["client_secret"])
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["expires_in"] == 900
    assert "goals:contribute" in answer.json()["scope"]
    assert "goals:write" not in answer.json()["scope"]
    goals = await as_bearer(connect, "goals", answer.json()["access_token"])
    assert (await goals.get("/v1/campaigns")).status_code == 200


async def test_a_client_may_ask_for_less_and_never_for_more(connect: Connect, workspace: Workspace) -> None:
    client = await new_client(connect, workspace, "contributor")
    less = await grant(connect, client["id"], client["client_secret"], scope="metrics:read goals:read")
    assert less.json()["scope"] == "goals:read metrics:read"
    more = await grant(connect, client["id"], client["client_secret"], scope="goals:read goals:write")
    assert (more.status_code, more.json()["error"]) == (400, "invalid_scope")


async def test_a_client_can_be_narrower_than_its_roles(connect: Connect, workspace: Workspace) -> None:
    client = await new_client(connect, workspace, "admin", scopes=["metrics:read"])
    assert (await grant(connect, client["id"], client["client_secret"])).json()["scope"] == "metrics:read"
    wider = {"name": "x", "roles": ["stakeholder"], "scopes": ["goals:write"]}
    refused = await connect("gateway", workspace).post("/v1/api-clients", json=wider)
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (422, "beyond_roles")


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("grant_type=client_credentials&grant_type=client_credentials", "invalid_request"),
        ("grant_type=client_credentials&scope=a&scope=b", "invalid_request"),
        ("scope=goals:read", "invalid_request"),
        ("grant_type=", "invalid_request"),
        ("grant_type=password&username=a&password=b", "unsupported_grant_type"),
        ("grant_type=client_credentials&client_secret=x", "invalid_request"),
        ("grant_type=client_credentials&workspace_id=0197c0de-0000-7000-8000-000000000001", "invalid_request"),
        ("grant_type=%ff", "invalid_request"),
        ("&".join(f"a{n}=b" for n in range(100)), "invalid_request"),
    ],
)
async def test_a_request_that_breaks_the_rules_is_told_how(
    connect: Connect, workspace: Workspace, body: str, error: str
) -> None:
    client = await new_client(connect, workspace)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await connect("gateway").post(
        "/oauth/token", content=body, headers=form, auth=(client["id"], client["client_secret"])
    )
    assert (answer.status_code, answer.json()["error"]) == (400, error)
    as_json = await connect("gateway").post("/oauth/token", json={"grant_type": "client_credentials"})
    assert (as_json.status_code, as_json.json()["error"]) == (400, "invalid_request")


async def test_wrong_credentials_all_look_the_same(connect: Connect, workspace: Workspace, clock: Clock) -> None:
    client = await new_client(connect, workspace)
    ended = await new_client(connect, workspace, "stakeholder", expires_at="2026-06-15T12:30:00Z")
    assert await token_of(connect, ended)
    clock.forward(hours=1)
    right = client["client_secret"]
    guesses = [
        (client["id"], "wrong"), (client["id"], ""), ("", right), ("nobody", right), ("service:goals", right),
        ("service:operator", "operator-secret"), ("operator", right), ("service:a\0b", right),
        (ended["id"], ended["client_secret"]),
        ("0197c0de-0000-7000-8000-000000000001", right),
    ]  # fmt: skip
    answers = [await grant(connect, *guess) for guess in guesses]
    assert {(each.status_code, each.text) for each in answers} == {(401, answers[0].text)}
    assert answers[0].json()["error"] == "invalid_client"
    assert answers[0].headers["www-authenticate"].startswith("Basic")
    for header in ("Basic !!!", "Basic", "Bearer x", "Negotiate abc"):
        form = {"grant_type": "client_credentials"}
        assert (
            await connect("gateway").post("/oauth/token", data=form, headers={"Authorization": header})
        ).status_code == 401


async def test_an_unknown_client_costs_as_much_as_a_known_one(
    connect: Connect, workspace: Workspace, apps: dict[str, FastAPI], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await new_client(connect, workspace)
    work: list[str] = []

    def compare(one: bytes, other: bytes) -> bool:
        work.append(f"compare {len(other)}")
        return hmac.compare_digest(one, other)

    monkeypatch.setattr(rules, "hmac", SimpleNamespace(compare_digest=compare))
    engine = apps["gateway"].state.database.engine.sync_engine
    listening = lambda *said: work.append(said[2])  # noqa: E731
    event.listen(engine, "before_cursor_execute", listening)
    try:
        done = []
        for client_id in (client["id"], "0197c0de-0000-7000-8000-000000000001"):
            work.clear()
            assert (await grant(connect, client_id, "wrong")).status_code == 401
            done.append(list(work))
    finally:
        event.remove(engine, "before_cursor_execute", listening)
    assert done[0] == done[1]
    assert done[0].count("compare 32") == 2


async def test_only_services_name_a_workspace(connect: Connect, workspace: Workspace) -> None:
    secret = workspace.stack.service_secrets["goals"]
    answer = await grant(connect, "service:goals", secret, workspace_id=str(workspace.id))
    assert answer.json()["expires_in"] == 300
    assert (await grant(connect, "service:goals", secret, workspace_id="x")).json()["error"] == "invalid_request"
    refused = await grant(connect, "operator", "operator-secret", workspace_id=str(workspace.id))
    assert refused.json()["error"] == "invalid_request"


async def test_the_operator_sees_no_workspace_from_inside(connect: Connect, workspace: Workspace) -> None:
    caller = await operator(connect)
    assert (await caller.get("/v1/members")).status_code == 403
    for part in ("goals", "assets", "budget", "metrics"):
        inbox = await connect(part).post(
            "/v1/inbox", json=[], headers={"Authorization": caller.headers["Authorization"]}
        )
        assert inbox.status_code == 403


@pytest.fixture
def company(apps: dict[str, FastAPI], workspace: Workspace, clock: Clock) -> Any:
    """A company login, trusted by every part; what its people may is said by its groups, if they have any."""
    provider = Provider("https://login.example", int(clock.now.timestamp()))
    trusted = TrustedIssuer(
        name="company", issuer=provider.url, audience="mops", workspace=workspace.id, roles_claim="groups",
        roles={"Marketing Ops": "manager"},
    )  # fmt: skip
    outside = httpx.AsyncClient(transport=httpx.ASGITransport(provider.app))
    before = {name: app.state.verifier for name, app in apps.items()}
    for app in apps.values():
        own = app.state.verifier
        app.state.verifier = Verifier(
            "http://gateway", app.state.http, clock.seconds, trusted=[trusted], outside=outside
        )
        app.state.verifier.own = own.own
        app.state.verifier.trust({"keys": [workspace.stack.key.as_dict(private=False)]})
    yield provider
    for name, app in apps.items():
        app.state.verifier = before[name]


async def exchange(connect: Connect, token: str, **form: str) -> Any:
    whole = {"grant_type": EXCHANGE, "subject_token": token, "subject_token_type": ACCESS, **form}
    return await connect("gateway").post("/oauth/token", data=whole)


async def test_a_company_login_s_token_is_taken_by_every_part(connect: Connect, company: Provider) -> None:
    token = company.token()
    reads = {
        "goals": "/v1/campaigns", "assets": "/v1/assets", "budget": "/v1/lines", "metrics": "/v1/sources",
        "gateway": "/v1/me",
    }  # fmt: skip
    for part, path in reads.items():
        assert (await (await as_bearer(connect, part, token)).get(path)).status_code == 200, part
    me = (await (await as_bearer(connect, "gateway", token)).get("/v1/me")).json()
    assert (me["subject"], me["roles"], me["member"]) == ("company:00u1", ["manager"], None)


async def test_who_brings_no_role_exchanges_their_token_for_what_the_members_list_says(
    connect: Connect, company: Provider, workspace: Workspace
) -> None:
    token = company.token(groups=None)
    goals = await as_bearer(connect, "goals", token)
    refused = await goals.get("/v1/campaigns")
    assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing")
    assert "exchange" in refused.json()["detail"]
    assert (await exchange(connect, token)).json()["error"] == "invalid_grant"
    admin = connect("gateway", workspace)
    member = (
        await admin.post("/v1/members", json={"subject": "company:00u1", "name": "Ada", "roles": ["contributor"]})
    ).json()
    answer = await exchange(connect, token, scope="goals:read")
    assert answer.json()["issued_token_type"] == ACCESS
    assert answer.json()["expires_in"] == 600, "no longer than what it was exchanged for"
    assert answer.json()["scope"] == "goals:read"
    ours = (await exchange(connect, token)).json()["access_token"]
    assert (await (await as_bearer(connect, "goals", ours)).get("/v1/campaigns")).status_code == 200
    me = (await (await as_bearer(connect, "gateway", ours)).get("/v1/me")).json()
    assert (me["subject"], me["roles"], me["member"]["id"]) == ("company:00u1", ["contributor"], member["id"])
    assert (await exchange(connect, token, scope="goals:write")).json()["error"] == "invalid_scope"
    await admin.post(f"/v1/members/{member['id']}/suspend")
    assert (await exchange(connect, token)).json()["error"] == "invalid_grant"
    assert (await exchange(connect, company.token())).json()["error"] == "invalid_grant", "whatever the issuer says"


async def test_what_can_not_be_exchanged_is_refused(connect: Connect, company: Provider, workspace: Workspace) -> None:
    id_token = company.token(header={"typ": "JWT"})
    for token, form in (
        (id_token, {}), ("garbage", {}), (workspace.token("admin"), {}), (company.token(exp=1), {}),
        (company.token(), {"subject_token_type": "urn:ietf:params:oauth:token-type:id_token"}),
        (company.token(), {"actor_token": "x"}),
        (company.token(), {"requested_token_type": "urn:ietf:params:oauth:token-type:refresh_token"}),
    ):  # fmt: skip
        answer = await exchange(connect, token, **form)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


async def test_last_use_is_known_to_the_minute(connect: Connect, workspace: Workspace, clock: Clock) -> None:
    client = await new_client(connect, workspace, "stakeholder")
    admin = connect("gateway", workspace)
    used = []
    for seconds in (0, 30, 40):
        clock.forward(seconds=seconds)
        await token_of(connect, client)
        used.append((await admin.get(f"/v1/api-clients/{client['id']}")).json()["last_used_at"])
    assert used == ["2026-06-15T12:00:00Z", "2026-06-15T12:00:00Z", "2026-06-15T12:01:10Z"]


async def test_metadata_says_where_everything_is(connect: Connect) -> None:
    said = (await connect("gateway").get("/.well-known/oauth-authorization-server")).json()
    assert said["token_endpoint"] == "http://gateway/oauth/token"
    assert EXCHANGE in said["grant_types_supported"]
