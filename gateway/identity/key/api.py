"""Decides how keys are published to whoever checks tokens, and how the operator looks after them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI, Request

from chassis.db import Database, Now
from chassis.errors import NotFound
from chassis.identity import scope
from gateway.identity.key import actions
from gateway.identity.key.models import SigningKeyRead, SigningKeys
from gateway.identity.key.rules import ends_at, state
from gateway.identity.key.store import StoredKey

router = APIRouter(tags=["signing keys"])


@asynccontextmanager
async def signing(app: FastAPI) -> AsyncIterator[None]:
    """The gateway trusts its own keys without asking itself over HTTP."""

    async def from_the_database() -> dict[str, Any]:
        async with app.state.database.worker() as session:
            return _published(await actions.known_keys(session, app.state.settings, app.state.clock()))

    app.state.verifier.own.fetch = from_the_database
    yield


def _published(keys: list[StoredKey]) -> dict[str, Any]:
    return {"keys": [key.public for key in keys]}


@router.get("/.well-known/jwks.json", openapi_extra={"x-graph": False})
async def get_jwks(request: Request, now: Now) -> dict[str, Any]:
    """The public keys that access tokens are checked with (RFC 7517). Look again when a token names an unknown one, and
    every five minutes at least."""
    database: Database = request.app.state.database
    async with database.worker() as session:
        return _published(await actions.known_keys(session, request.app.state.settings, now))


@router.get("/v1/signing-keys", dependencies=[scope("platform:read")], openapi_extra={"x-graph": False})
async def get_signing_keys(request: Request, now: Now) -> SigningKeys:
    """Which keys there are, and what each is for now. For the installation's operator."""
    return await _all(request, now)


@router.post("/v1/signing-keys/rotate", dependencies=[scope("platform:write")], openapi_extra={"x-graph": False})
async def rotate_signing_keys(request: Request, now: Now) -> SigningKeys:
    """Publishes the next key, which begins to sign ten minutes later; called again meanwhile, it changes nothing. It
    happens by itself every 90 days. For the installation's operator."""
    database: Database = request.app.state.database
    async with database.worker() as session:
        await actions.rotate(session, request.app.state.settings, now)
    return await _all(request, now)


@router.post(
    "/v1/signing-keys/{kid}/withdraw", dependencies=[scope("platform:write")], openapi_extra={"x-graph": False}
)
async def withdraw_signing_key(kid: str, request: Request, now: Now) -> SigningKeys:
    """Ends a key that may have leaked. Another signs at once; what this one signed is refused by every service within
    five minutes. For the installation's operator."""
    database: Database = request.app.state.database
    async with database.worker() as session:
        if not await actions.withdraw(session, request.app.state.settings, kid, now):
            raise NotFound(f"no signing key {kid}")
    await request.app.state.verifier.fetch()
    return await _all(request, now)


async def _all(request: Request, now: Now) -> SigningKeys:
    database: Database = request.app.state.database
    async with database.worker() as session:
        keys = await actions.known_keys(session, request.app.state.settings, now)
    turns = [key.turn for key in keys]
    return SigningKeys(
        keys=[
            SigningKeyRead(
                kid=key.kid, state=state(key.turn, turns, now), created_at=key.created_at, signs_from=key.signs_from,
                ends_at=ends_at(key.turn, turns, now),
            )
            for key in keys
        ]
    )  # fmt: skip
