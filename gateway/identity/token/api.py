"""Decides how tokens are had: for a client's id and secret, or for a token of an issuer that is trusted."""

import base64
import binascii
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, unquote_plus
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from chassis.db import Database, Now
from chassis.errors import Unauthenticated
from chassis.roles import ALL_SCOPES, scopes_of
from chassis.tokens import SERVICE_PREFIX
from gateway.identity.client.rules import secret_matches
from gateway.identity.client.store import note_use
from gateway.identity.key.actions import signing_key
from gateway.identity.member.rules import MemberState
from gateway.identity.member.store import find_member
from gateway.identity.token.rules import (
    ACCESS_TOKEN,
    CLIENT_CREDENTIALS,
    CLIENT_LIFETIME,
    SERVICE_LIFETIME,
    TOKEN_EXCHANGE,
    Refusal,
    granted,
)
from gateway.identity.token.signing import Grant, access_token
from gateway.identity.token.store import find_caller
from gateway.identity.workspace.store import is_open

router = APIRouter(tags=["tokens"])

MOST_FIELDS = 20


@router.post("/oauth/token", openapi_extra={"x-graph": False})
async def issue_token(request: Request, now: Now) -> JSONResponse:
    """Client credentials (RFC 6749, 4.4): the client's id and secret by Basic or in the form, `scope` to ask for less;
    only service accounts may send `workspace_id`. Or token exchange (RFC 8693): a trusted issuer's access token as
    `subject_token`, for what the members list lets its subject do."""
    try:
        form = await _form(request)
        match form.get("grant_type"):
            case "client_credentials":
                grant = await _by_credentials(request, form, now)
            case "urn:ietf:params:oauth:grant-type:token-exchange":
                grant = await _by_exchange(request, form, now)
            case None:
                raise Refusal("invalid_request", "grant_type is missing")
            case _:
                raise Refusal("unsupported_grant_type", f"grant_type is {CLIENT_CREDENTIALS} or {TOKEN_EXCHANGE}")
    except Refusal as refusal:
        headers = {"Cache-Control": "no-store"}
        if refusal.status == 401:
            headers["WWW-Authenticate"] = 'Basic realm="mops"'
        problem = {"error": refusal.error, "error_description": refusal.description}
        return JSONResponse(problem, refusal.status, headers)
    database: Database = request.app.state.database
    async with database.worker() as session:
        key = await signing_key(session, request.app.state.settings, now)
    answer = {
        "access_token": access_token(grant, key, request.app.state.settings.issuer_url, now), "token_type": "Bearer",
        "expires_in": int(grant.lifetime.total_seconds()), "scope": " ".join(grant.scopes),
    }  # fmt: skip
    if form["grant_type"] == TOKEN_EXCHANGE:
        answer["issued_token_type"] = ACCESS_TOKEN
    return JSONResponse(answer, headers={"Cache-Control": "no-store"})


async def _form(request: Request) -> dict[str, str]:
    """The request's parameters, none of which may be sent twice (RFC 6749, 3.2)."""
    media = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if media != "application/x-www-form-urlencoded":
        raise Refusal("invalid_request", "send application/x-www-form-urlencoded")
    try:
        pairs = parse_qsl(
            (await request.body()).decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict"
        )
    except ValueError:
        raise Refusal("invalid_request", "the form can't be read") from None
    form = dict(pairs)
    if len(form) != len(pairs):
        raise Refusal("invalid_request", "a parameter is sent more than once")
    # What is sent without a value counts as not sent.
    return {name: value for name, value in pairs if value}


def _credentials(authorization: str, form: dict[str, str]) -> tuple[str, str]:
    if not authorization:
        return form.get("client_id", ""), form.get("client_secret", "")
    if "client_secret" in form:
        raise Refusal("invalid_request", "send the secret in one place: by Basic, or in the form")
    kind, _, encoded = authorization.partition(" ")
    try:
        # At the last colon: a service's id has one, a secret has none.
        user, _, password = base64.b64decode(encoded.strip(), validate=True).decode().rpartition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return (unquote_plus(user), unquote_plus(password)) if kind.lower() == "basic" else ("", "")


async def _by_credentials(request: Request, form: dict[str, str], now: datetime) -> Grant:
    client_id, secret = _credentials(request.headers.get("Authorization", ""), form)
    database: Database = request.app.state.database
    async with database.worker() as session:
        caller = await find_caller(session, client_id, now)
    if not secret_matches(secret, caller.secrets if caller else ()) or caller is None:
        raise Refusal("invalid_client", "no such client, or another secret", 401)
    workspace_id, lifetime = caller.workspace_id, CLIENT_LIFETIME
    if client_id.startswith(SERVICE_PREFIX):
        lifetime = SERVICE_LIFETIME
        try:
            workspace_id = UUID(form["workspace_id"]) if "workspace_id" in form else None
        except ValueError:
            raise Refusal("invalid_request", "workspace_id must be a UUID") from None
    elif "workspace_id" in form:
        raise Refusal("invalid_request", "only service accounts name a workspace")
    scopes = granted(caller.scopes, form.get("scope", "").split())
    if caller.client and caller.workspace_id and caller.unnoted:
        async with database.tenant(caller.workspace_id) as session:
            await note_use(session, caller.client, now)
    return Grant(caller.subject, client_id, workspace_id, caller.roles, scopes, lifetime)


async def _by_exchange(request: Request, form: dict[str, str], now: datetime) -> Grant:
    if form.get("subject_token_type") != ACCESS_TOKEN or "actor_token" in form:
        raise Refusal("invalid_request", f"subject_token_type is {ACCESS_TOKEN}, and there is no actor_token")
    if form.get("requested_token_type", ACCESS_TOKEN) != ACCESS_TOKEN:
        raise Refusal("invalid_request", f"requested_token_type is {ACCESS_TOKEN}")
    try:
        principal = await request.app.state.verifier.verify(form.get("subject_token", ""))
    except Unauthenticated as problem:
        raise Refusal("invalid_request", f"subject_token: {problem.detail}") from None
    if not principal.issuer:
        raise Refusal("invalid_request", "subject_token is ours already")
    database: Database = request.app.state.database
    async with database.tenant(principal.workspace_id) as session:
        member = await find_member(session, principal.subject)
        opened = await is_open(session)
    if not opened or (member and member.state != MemberState.ACTIVE) or not (member or principal.roles):
        raise Refusal("invalid_grant", "whom the token means is no active member of the workspace")
    # What the issuer says of roles goes before what is kept here.
    roles = sorted(principal.roles) or (member.roles if member else [])
    left = datetime.fromtimestamp(principal.expires_at, UTC) - now
    lifetime = min(CLIENT_LIFETIME, timedelta(seconds=int(left.total_seconds())))
    scopes = granted(scopes_of(roles), form.get("scope", "").split())
    return Grant(principal.subject, principal.issuer, principal.workspace_id, roles, scopes, lifetime)


@router.get("/.well-known/oauth-authorization-server", openapi_extra={"x-graph": False})
async def get_metadata(request: Request) -> dict[str, Any]:
    """Authorization server metadata (RFC 8414)."""
    issuer = request.app.state.settings.issuer_url
    return {
        "issuer": issuer,
        "token_endpoint": f"{issuer}/oauth/token",
        "jwks_uri": f"{issuer}/.well-known/jwks.json",
        "grant_types_supported": [CLIENT_CREDENTIALS, TOKEN_EXCHANGE],
        "response_types_supported": [],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "scopes_supported": ALL_SCOPES,
    }
