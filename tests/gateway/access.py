"""Decides how a test gets tokens: over HTTP, as everybody does."""

from typing import Any

import httpx

from tests.parts import OPERATOR_SECRET, Connect, Workspace


async def new_client(connect: Connect, workspace: Workspace, *roles: str, **more: Any) -> dict[str, Any]:
    """A new API client of the workspace, with its secret."""
    body = {"name": "Script", "roles": list(roles or ("admin",)), **more}
    made = await connect("gateway", workspace).post("/v1/api-clients", json=body)
    assert made.status_code == 201, made.text
    answer: dict[str, Any] = made.json()
    return answer


async def grant(connect: Connect, client_id: str, secret: str, **form: str) -> httpx.Response:
    """What the token endpoint answers."""
    whole = {"grant_type": "client_credentials", **form}
    return await connect("gateway").post("/oauth/token", data=whole, auth=(client_id, secret))


async def token_of(connect: Connect, client: dict[str, Any], **form: str) -> str:
    answer = await grant(connect, client["id"], client["client_secret"], **form)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


async def as_bearer(connect: Connect, part: str, token: str) -> httpx.AsyncClient:
    client = connect(part)
    client.headers["Authorization"] = f"Bearer {token}"
    return client


async def operator(connect: Connect) -> httpx.AsyncClient:
    """The gateway as the installation's operator sees it."""
    answer = await grant(connect, "operator", OPERATOR_SECRET)
    assert answer.status_code == 200, answer.text
    return await as_bearer(connect, "gateway", answer.json()["access_token"])
