"""Decides how callers get tokens, and how a workspace's admins keep its API clients."""

import base64
import binascii
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import unquote_plus
from uuid import UUID

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse
from sqlmodel import select

from chassis.db import Database, Now, Session, workspace_of
from chassis.errors import Invalid
from chassis.idempotency import IdempotentRoute
from chassis.identity import SERVICE_PREFIX, scope
from chassis.paging import Listing, Page, listing, page
from gateway.identity import store
from gateway.identity.models import ApiClient, ApiClientCreate, ApiClientRead, ApiClientSecret
from gateway.identity.rules import ALL_SCOPES, granted, hash_secret, new_client_secret, scopes_of, secret_matches
from gateway.identity.tokens import CLIENT_LIFETIME, SERVICE_LIFETIME, Signer

open_router = APIRouter(tags=["identity"])
router = APIRouter(route_class=IdempotentRoute, tags=["identity"])


@asynccontextmanager
async def signing(app: FastAPI) -> AsyncIterator[None]:
    """Opens the signer; the gateway itself trusts its own keys without asking itself over HTTP."""
    settings = app.state.settings
    app.state.signer = Signer(settings.signing_keys, settings.issuer_url)
    app.state.verifier.trust(app.state.signer.public())
    yield


def _refusal(status: int, error: str, description: str) -> JSONResponse:
    """RFC 6749, 5.2."""
    headers = {"Cache-Control": "no-store"} | ({"WWW-Authenticate": 'Basic realm="mops"'} if status == 401 else {})
    return JSONResponse({"error": error, "error_description": description}, status, headers)


def _credentials(authorization: str, form: dict[str, str]) -> tuple[str, str]:
    kind, _, encoded = authorization.partition(" ")
    if kind.lower() != "basic":
        return form.get("client_id", ""), form.get("client_secret", "")
    try:
        # At the last colon: a service's id has one, a secret has none.
        user, _, password = base64.b64decode(encoded, validate=True).decode().rpartition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return unquote_plus(user), unquote_plus(password)


async def _find(database: Database, client_id: str) -> store.Caller | None:
    async with database.worker() as session:
        if client_id.startswith(SERVICE_PREFIX):
            return await store.find_service(session, client_id.removeprefix(SERVICE_PREFIX).replace("\0", ""))
        try:
            return await store.find_client(session, UUID(client_id))
        except ValueError:
            return None


@open_router.post("/oauth/token", openapi_extra={"x-graph": False})
async def issue_token(request: Request, now: Now) -> JSONResponse:
    """Client credentials (RFC 6749, 4.4): the client's id and secret by Basic or in the form, `scope` to ask for less.
    Only service accounts may send `workspace_id`."""
    form = {name: value for name, value in (await request.form()).items() if isinstance(value, str)}
    if form.get("grant_type") != "client_credentials":
        return _refusal(400, "unsupported_grant_type", "grant_type must be client_credentials")
    client_id, secret = _credentials(request.headers.get("Authorization", ""), form)
    caller = await _find(request.app.state.database, client_id)
    if not secret_matches(secret, caller.secret_hash if caller else b"") or caller is None:
        return _refusal(401, "invalid_client", "no such client, or another secret")
    workspace_id, lifetime = caller.workspace_id, CLIENT_LIFETIME
    if caller.workspace_id is None:
        lifetime = SERVICE_LIFETIME
        try:
            workspace_id = UUID(form["workspace_id"]) if "workspace_id" in form else None
        except ValueError:
            return _refusal(400, "invalid_request", "workspace_id must be a UUID")
    elif "workspace_id" in form:
        return _refusal(400, "invalid_request", "a client has one workspace; only service accounts name one")
    try:
        scopes = granted(frozenset(caller.scopes) or scopes_of(caller.roles), form.get("scope", "").split())
    except Invalid as problem:
        return _refusal(400, "invalid_scope", problem.detail)
    signer: Signer = request.app.state.signer
    subject = client_id if caller.workspace_id is None else f"client:{client_id}"
    token = signer.sign(subject, client_id, workspace_id, list(caller.roles), scopes, now, lifetime)
    grant = {
        "access_token": token, "token_type": "Bearer", "expires_in": int(lifetime.total_seconds()),
        "scope": " ".join(scopes),
    }  # fmt: skip
    return JSONResponse(grant, headers={"Cache-Control": "no-store"})


@open_router.get("/.well-known/jwks.json", openapi_extra={"x-graph": False})
async def get_jwks(request: Request) -> dict[str, Any]:
    """The public keys that access tokens are checked with (RFC 7517)."""
    signer: Signer = request.app.state.signer
    return signer.public()


@open_router.get("/.well-known/oauth-authorization-server", openapi_extra={"x-graph": False})
async def get_metadata(request: Request) -> dict[str, Any]:
    """Authorization server metadata (RFC 8414)."""
    issuer = request.app.state.settings.issuer_url
    return {
        "issuer": issuer,
        "token_endpoint": f"{issuer}/oauth/token",
        "jwks_uri": f"{issuer}/.well-known/jwks.json",
        "grant_types_supported": ["client_credentials"],
        "response_types_supported": [],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "scopes_supported": ALL_SCOPES,
    }


@router.post("/v1/api-clients", status_code=201, dependencies=[scope("identity:write")])
async def create_api_client(create: ApiClientCreate, session: Session, now: Now) -> ApiClientSecret:
    """A new client of this workspace. Its secret is in this answer and nowhere else."""
    secret = new_client_secret()
    client = ApiClient(
        workspace_id=workspace_of(session), name=create.name, roles=[role.value for role in create.roles],
        secret_hash=hash_secret(secret), created_at=now, revoked_at=None,
    )  # fmt: skip
    await store.add_client(session, client)
    return ApiClientSecret(**ApiClientRead.model_validate(client).model_dump(), client_secret=secret)


@router.get("/v1/api-clients", dependencies=[scope("identity:read")])
async def list_api_clients(session: Session, asked: Listing = listing("name", "created_at")) -> Page[ApiClientRead]:
    """This workspace's clients, revoked ones too."""
    rows, next_cursor = await page(session, ApiClient, select(ApiClient), asked)
    return Page(items=[ApiClientRead.model_validate(row) for row in rows], next_cursor=next_cursor)


@router.post("/v1/api-clients/{id}/revoke", dependencies=[scope("identity:write")])
async def revoke_api_client(id: UUID, session: Session, now: Now) -> ApiClientRead:
    """Ends a client: it gets no more tokens, and those it has run out within the hour."""
    client = await store.get_client(session, id)
    client.revoked_at = client.revoked_at or now
    session.add(client)
    return ApiClientRead.model_validate(client)
