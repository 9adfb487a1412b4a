"""Decides how a workspace's admins keep its API clients."""

from datetime import timedelta
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from chassis.answers import page, read_row
from chassis.db import Now, Reading, Session
from chassis.editing import IfMatch, edited, held
from chassis.errors import Conflict
from chassis.idempotency import IdempotentRoute
from chassis.identity import scope
from chassis.listing import Fields, Filter, Listing, fields_of, listing
from chassis.paging import Page
from gateway.identity import standing
from gateway.identity.client import actions, store
from gateway.identity.client.models import (
    ApiClient,
    ApiClientCreate,
    ApiClientPatch,
    ApiClientRead,
    ApiClientRotate,
    ApiClientSecret,
)
from gateway.identity.client.rules import (
    allowed_scopes,
    hash_secret,
    lets_others_in,
    new_client_secret,
    refuse_pointless,
)
from gateway.identity.standing import STANDING, Administrator

router = APIRouter(route_class=IdempotentRoute, tags=["API clients"])

Revoked = Annotated[bool | None, Query(description="Only those that are, or aren't, revoked.")]


@router.post("/v1/api-clients", status_code=201, dependencies=[scope("identity:write")])
async def create_api_client(
    create: ApiClientCreate, session: Session, caller: Administrator, now: Now
) -> ApiClientSecret:
    """A new client of this workspace. Its secret is in this answer and nowhere else. 403 `beyond_own` when it would
    have scopes that the caller's token lacks."""
    standing.refuse_beyond(caller.scopes, allowed_scopes(create.roles, create.scopes))
    return await actions.create_client(session, create, caller.subject, now)


@router.get("/v1/api-clients/{id}", dependencies=[scope("identity:read"), STANDING])
async def get_api_client(id: UUID, reading: Reading, fields: Fields = fields_of(ApiClientRead)) -> ApiClientRead:
    """One client."""
    return await read_row(reading, ApiClient, id, ApiClientRead, fields)


@router.get("/v1/api-clients", dependencies=[scope("identity:read"), STANDING])
async def list_api_clients(
    reading: Reading,
    asked: Listing[ApiClientRead] = listing(
        ApiClient,
        ApiClientRead,
        sort=("name", "created_at"),
        by=("name", "created_at"),
        also=[Filter("revoked", Revoked, None, ApiClient.revoked_at, store.IS_REVOKED)],
    ),
) -> Page[ApiClientRead]:
    """This workspace's clients, revoked ones too."""
    return await page(reading, asked)


@router.patch("/v1/api-clients/{id}", dependencies=[scope("identity:write")])
async def update_api_client(
    id: UUID, patch: ApiClientPatch, session: Session, caller: Administrator, if_match: IfMatch, now: Now
) -> ApiClientRead:
    """Changes name, scopes or end of a client; tokens that are out stay as they are. 403 `beyond_own` when it would
    have scopes that the caller's token lacks."""
    await standing.hold(session)
    client = await held(session, ApiClient, id, if_match)
    wanted = edited(ApiClientCreate, ApiClientRead.model_validate(client), patch)
    refuse_pointless(wanted.roles, wanted.scopes, wanted.expires_at, now)
    standing.refuse_beyond(caller.scopes, allowed_scopes(wanted.roles, wanted.scopes))
    let_others_in = _lets_others_in(client)
    client.name, client.scopes, client.expires_at = wanted.name, wanted.scopes, wanted.expires_at
    await session.flush()
    if let_others_in:
        await standing.keep_a_way_in(session)
    return ApiClientRead.model_validate(client)


@router.post("/v1/api-clients/{id}/rotate", dependencies=[scope("identity:write")])
async def rotate_api_client(
    id: UUID, rotate: ApiClientRotate, session: Session, caller: Administrator, now: Now
) -> ApiClientSecret:
    """A new secret, shown this once. The one so far is taken for `keep_old_minutes` more; an older one ends now."""
    client = await store.get_client(session, id, lock=True)
    # Whoever learns the secret can do what the client may.
    standing.refuse_beyond(caller.scopes, allowed_scopes(client.roles, client.scopes))
    if client.revoked_at is not None:
        raise Conflict("this client is revoked; make a new one", code="revoked")
    secret = new_client_secret()
    client.old_secret_hash, client.secret_hash = client.secret_hash, hash_secret(secret)
    client.old_secret_ends_at = now + timedelta(minutes=rotate.keep_old_minutes)
    await session.flush()
    return actions.with_secret(client, secret)


@router.post("/v1/api-clients/{id}/revoke", dependencies=[scope("identity:write")])
async def revoke_api_client(id: UUID, session: Session, caller: Administrator, now: Now) -> ApiClientRead:
    """Ends a client: it gets no more tokens, the gateway's administration refuses it at once, and all else when the
    token that it has runs out, within 15 minutes. 409 `last_admin` for the last way into the workspace."""
    await standing.hold(session)
    client = await store.get_client(session, id, lock=True)
    let_others_in = _lets_others_in(client)
    if client.revoked_at is None:
        client.revoked_at, client.revoked_by = now, caller.subject
        await session.flush()
    if let_others_in:
        await standing.keep_a_way_in(session)
    return ApiClientRead.model_validate(client)


def _lets_others_in(client: ApiClient) -> bool:
    return lets_others_in(allowed_scopes(client.roles, client.scopes), client.expires_at, client.revoked_at)
