"""What signing keys promise: one follows the other without anybody noticing, and a withdrawn one ends."""

from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text

from chassis.testing import Clock
from chassis.tokens import Verifier
from gateway.identity.key import actions, store
from gateway.identity.key.rules import Turn, ends_at, is_due, signing
from tests.gateway.access import as_bearer, new_client, operator, token_of
from tests.parts import Connect, Workspace


@pytest.fixture
async def goals_learns(apps: dict[str, FastAPI], clock: Clock, workspace: Workspace) -> AsyncIterator[FastAPI]:
    """goals checks tokens as it does in production: by what it fetched from the gateway, which its clock makes old."""
    gateway, goals = apps["gateway"], apps["goals"]
    before = {name: app.state.verifier for name, app in apps.items()}
    goals.state.verifier = Verifier("http://gateway", goals.state.http, clock.seconds, ticks=clock.seconds)
    gateway.state.verifier = Verifier("http://gateway", goals.state.http, clock.seconds, ticks=clock.seconds)
    yield goals
    async with gateway.state.database.worker() as session:
        await session.execute(text("DELETE FROM signing_key"))
    for name, app in apps.items():
        app.state.verifier = before[name]


async def published(connect: Connect) -> list[str]:
    keys = (await connect("gateway").get("/.well-known/jwks.json")).json()["keys"]
    assert not {"d", "k", "p", "q"} & {name for key in keys for name in key}, "private halves never leave"
    return [key["kid"] for key in keys]


async def status(connect: Connect, token: str) -> int:
    return (await (await as_bearer(connect, "goals", token)).get("/v1/campaigns")).status_code


def kid_of(token: str) -> str:
    from joserfc import jws

    return str(jws.extract_compact(token.encode()).headers()["kid"])


async def test_keys_follow_each_other_without_a_break(
    connect: Connect, workspace: Workspace, apps: dict[str, FastAPI], clock: Clock, goals_learns: FastAPI
) -> None:
    client = await new_client(connect, workspace, "manager")
    before = await token_of(connect, client)
    assert await status(connect, before) == 200
    caller = await operator(connect)
    keys = (await caller.post("/v1/signing-keys/rotate")).json()["keys"]
    assert [key["state"] for key in keys] == ["signing", "next"]
    again = (await caller.post("/v1/signing-keys/rotate")).json()["keys"]
    assert again == keys, "one waits already"
    first, second = await published(connect)

    clock.forward(minutes=6)
    during = await token_of(connect, client)
    assert (kid_of(before), kid_of(during)) == (first, first), "the next key is known before it signs"
    assert await status(connect, during) == 200

    clock.forward(minutes=4)
    after = await token_of(connect, client)
    assert kid_of(after) == second

    async def away() -> None:
        raise httpx.ConnectError("the gateway is away")

    fetch, goals_learns.state.verifier.own.fetch = goals_learns.state.verifier.own.fetch, away
    assert [await status(connect, token) for token in (before, during, after)] == [200, 200, 200]
    goals_learns.state.verifier.own.fetch = fetch

    await actions.tend(apps["gateway"])
    assert await published(connect) == [first, second], "tokens by the first haven't all ended"
    clock.forward(minutes=20)
    await actions.tend(apps["gateway"])
    assert await published(connect) == [second]
    late = Workspace(workspace.id, workspace.stack).token("admin", lifetime=timedelta(hours=1))
    assert kid_of(late) == first == "test"
    assert await status(connect, late) == 401


async def test_a_withdrawn_key_ends_with_all_that_it_signed(
    connect: Connect, workspace: Workspace, clock: Clock, goals_learns: FastAPI
) -> None:
    client = await new_client(connect, workspace, "manager")
    leaked = await token_of(connect, client)
    assert await status(connect, leaked) == 200
    caller = await operator(connect)
    (kid,) = await published(connect)
    left = (await caller.post(f"/v1/signing-keys/{kid}/withdraw")).json()["keys"]
    assert [(key["kid"] == kid, key["state"]) for key in left] == [(False, "signing")]
    clock.forward(seconds=3)
    assert await status(connect, await token_of(connect, client)) == 200, "at once"
    assert (await (await as_bearer(connect, "gateway", leaked)).get("/v1/me")).status_code == 401, "at the gateway too"
    clock.forward(minutes=5)
    assert await status(connect, leaked) == 401
    caller = await operator(connect)
    assert (await caller.post("/v1/signing-keys/unknown/withdraw")).status_code == 404


async def test_keys_turn_by_themselves_when_they_are_old(
    connect: Connect, apps: dict[str, FastAPI], clock: Clock, goals_learns: FastAPI
) -> None:
    assert len(await published(connect)) == 1
    for days, expected in ((0, 1), (89, 1), (1, 2), (0, 2), (1, 1)):
        clock.forward(days=days)
        await actions.tend(apps["gateway"])
        assert len(await published(connect)) == expected, days


async def test_the_database_alone_can_not_sign(
    connect: Connect, apps: dict[str, FastAPI], goals_learns: FastAPI
) -> None:
    await published(connect)
    async with apps["gateway"].state.database.worker() as session:
        (key,) = await store.load_keys(session)
    assert b'"d"' not in key.sealed
    moved = store.StoredKey("another", key.public, key.sealed, key.created_at, key.signs_from)
    with pytest.raises(Exception, match="doesn't open"):
        store.opened(moved, actions.sealer_of(apps["gateway"].state.settings))


def test_a_key_ends_when_the_last_token_it_signed_has(clock: Clock) -> None:
    old, new = Turn("a", clock.now), Turn("b", clock.now + timedelta(minutes=10))
    turns = [new, old]
    assert signing(turns, clock.now) == old
    assert signing(turns, new.signs_from) == new
    assert signing([new], clock.now) == new, "one that is early is better than none"
    assert ends_at(old, turns, clock.now) is None
    assert ends_at(old, turns, new.signs_from) == new.signs_from + timedelta(minutes=20)
    assert ends_at(new, turns, new.signs_from) is None
    assert is_due([], clock.now)
    assert not is_due(turns, clock.now + timedelta(minutes=1))
