"""What a token promises: only ours, only while it lasts, only for what its scopes say."""

import json
from datetime import timedelta
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, OKPKey

from chassis.testing import Clock, TestStack
from chassis.tokens import AUDIENCE
from tests.parts import Connect, Workspace


def claims(workspace: Workspace, clock: Clock, **change: Any) -> dict[str, Any]:
    now = int(clock.now.timestamp())
    base = {
        "iss": "http://gateway", "aud": AUDIENCE, "sub": "client:x", "iat": now, "exp": now + 600,
        "scope": "goals:read", "roles": ["admin"], "workspace_id": str(workspace.id),
    }  # fmt: skip
    return {key: value for key, value in {**base, **change}.items() if value is not None}


def forge(stack: TestStack, body: dict[str, Any], key: Any = None, **header: Any) -> str:
    full = {"alg": "Ed25519", "typ": "at+jwt", "kid": "test", **header}
    return jwt.encode(full, body, key or stack.key, algorithms=[full["alg"]])


async def status(connect: Connect, token: str) -> int:
    client = connect("goals")
    return (await client.get("/v1/campaigns", headers={"Authorization": f"Bearer {token}"})).status_code


async def test_a_token_of_ours_is_taken(connect: Connect, stack: TestStack, workspace: Workspace, clock: Clock) -> None:
    assert await status(connect, forge(stack, claims(workspace, clock))) == 200


@pytest.mark.parametrize(
    "change", [{"iss": "http://evil"}, {"aud": "other"}, {"exp": 1}, {"exp": None}, {"sub": None},
               {"workspace_id": "nonsense"}, {"iat": 99999999999}],
)  # fmt: skip
async def test_a_claim_that_does_not_hold_is_refused(
    connect: Connect, stack: TestStack, workspace: Workspace, clock: Clock, change: dict[str, Any]
) -> None:
    assert await status(connect, forge(stack, claims(workspace, clock, **change))) == 401


async def test_another_key_or_algorithm_is_refused(
    connect: Connect, stack: TestStack, workspace: Workspace, clock: Clock
) -> None:
    body = claims(workspace, clock)
    thief = OKPKey.generate_key("Ed25519", {"kid": "test"})
    public = OctKey.import_key(json.dumps(stack.key.as_dict(private=False)))
    header = {"typ": "at+jwt", "kid": "test"}
    unsigned = ".".join(part for part in (_b64({"alg": "none", **header}), _b64(body), ""))
    for token in (
        forge(stack, body, thief),
        forge(stack, body, thief, jwk=thief.as_dict(private=False)),
        forge(stack, body, thief, jku="http://evil/jwks.json", kid="evil"),
        forge(stack, body, typ="JWT"),
        ".".join((_b64({"alg": "Ed25519", "typ": "at+jwt", "kid": ["test"]}), _b64(body), "AAAA")),
        jwt.encode({"alg": "HS256", **header}, body, public, algorithms=["HS256"]),
        unsigned,
        "garbage",
        "a.b.c",
    ):
        assert await status(connect, token) == 401


def _b64(value: dict[str, Any]) -> str:
    import base64

    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


async def test_a_token_ends(connect: Connect, workspace: Workspace, clock: Clock) -> None:
    token = workspace.token("admin", lifetime=timedelta(minutes=5))
    assert await status(connect, token) == 200
    clock.forward(minutes=6)
    assert await status(connect, token) == 401


@pytest.mark.parametrize(
    ("role", "expected"), [("stakeholder", 403), ("contributor", 403), ("specialist", 201), ("manager", 201)]
)
async def test_a_role_may_what_its_scopes_say(connect: Connect, workspace: Workspace, role: str, expected: int) -> None:
    made = await connect("goals", workspace, role).post("/v1/objectives", json={"name": "Grow", "stakeholder": "ceo"})
    assert made.status_code == expected
    assert (await connect("goals", workspace, role).get("/v1/objectives")).status_code == 200
