"""What those who listen are promised: all that they may hear, once, in order, for as long as their token lasts."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest
from fastapi import FastAPI

from chassis.fields import new_id
from chassis.inbox import Incoming
from chassis.testing import Clock, TestStack
from gateway.happening.catalog import happening_types
from gateway.happening.store import keep
from gateway.live import hearing, store
from tests.conftest import Connect, Deliver, Workspace
from tests.gateway.conftest import Ask
from tests.gateway.listening import Serving, another_gateway, serve, streaming, talking

EVENTS = "subscription($types: [String!], $subject: ID, $after: String) { happenings(types: $types, subject: $subject, after: $after) { id cursor type } }"  # noqa: E501
CAMPAIGN = {
    "name": "Spring", "slug": "spring", "channels": ["email"], "territories": ["DE"],
    "flight": {"start": "2026-01-01", "end": "2027-01-01"},
}  # fmt: skip


KILL_LISTENING = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()
"""


@pytest.fixture
async def gateways(
    apps: dict[str, FastAPI], graph_of: Ask, workspace: Workspace, stack: TestStack
) -> AsyncIterator[tuple[Serving, Serving]]:
    """Two gateways over one database, which know nothing of each other; behind sockets, as are the services."""
    graph = await graph_of(workspace)
    other = another_gateway()
    async with AsyncExitStack() as opened:
        await opened.enter_async_context(stack.started({"gateway": other}))
        other.state.upstream = graph.upstream
        yield (
            await opened.enter_async_context(serve(apps["gateway"])),
            await opened.enter_async_context(serve(other)),
        )


async def happen(
    apps: dict[str, FastAPI], workspace: UUID, clock: Clock, *types: str, subject: UUID | None = None, **data: Any
) -> list[str]:
    """Keeps events as the gateway's inbox does, in one transaction; their ids."""
    told = [
        Incoming(
            id=new_id(), source="/x", type=each, subject=str(subject or new_id()), time=clock.now,
            workspaceid=workspace, data=data,
        )
        for each in types
    ]  # fmt: skip
    async with apps["gateway"].state.database.tenant(workspace) as session:
        await keep(session, told, clock.now)
    return [str(each.id) for each in told]


async def test_a_change_arrives_with_the_state_that_it_led_to(
    apps: dict[str, FastAPI], gateways: tuple[Serving, Serving], workspace: Workspace, goals: httpx.AsyncClient,
    connect: Connect, deliver: Deliver,
) -> None:  # fmt: skip
    query = """subscription($after: String) { happenings(types: ["goals.campaign.*"], after: $after) {
        cursor type subject occurredAt data campaign { id name state goals { nodes { id } } } goal { id }
        campaigns { nodes { id } } } }"""
    token = workspace.token("admin")
    async with (
        talking(gateways[0].address, token) as talk,
        streaming(gateways[1].url, token, query) as events,
    ):
        start = await events.next()
        await talk.subscribe(query, after=talk.cursor)
        campaign = (await goals.post("/v1/campaigns", json=CAMPAIGN)).json()
        await goals.patch(
            f"/v1/campaigns/{campaign['id']}", json={"name": "Summer"}, headers={"If-Match": str(campaign["version"])}
        )
        await deliver()
        told = [(await talk.told())["happenings"] for _ in range(2)]
        assert [each["type"] for each in told] == ["goals.campaign.created", "goals.campaign.changed"]
        for each in told:
            assert each["subject"] == each["data"]["campaign_id"] == campaign["id"]
            assert each["campaign"] == {"id": campaign["id"], "name": "Summer", "state": "IDEA", "goals": {"nodes": []}}
            assert (each["goal"], each["campaigns"]) == (None, {"nodes": []})
            block = await events.next()
            assert (block["event"], block["id"]) == ("next", each["cursor"])
            assert json.loads(block["data"])["data"]["happenings"] == each
        assert events.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert start.keys() == {"id"}
    # The list tells the same, and by the same cursor.
    listed = '{ happenings(types: ["goals.campaign.created"]) { nodes { cursor campaign { name } } } }'.replace(
        "types: [", "type: ["
    )
    answer = await connect("gateway", workspace).post("/graphql", json={"query": listed})
    assert answer.json()["data"]["happenings"]["nodes"] == [
        {"cursor": told[0]["cursor"], "campaign": {"name": "Summer"}}
    ]


@pytest.mark.parametrize("seed", [1, 2])
async def test_whoever_comes_back_anywhere_has_missed_nothing_and_hears_nothing_twice(
    apps: dict[str, FastAPI], gateways: tuple[Serving, Serving], workspace: Workspace, clock: Clock, stack: TestStack,
    monkeypatch: pytest.MonkeyPatch, seed: int,
) -> None:  # fmt: skip
    """Writers commit in any order meanwhile, the connections that are told of it die, and pages are short."""
    monkeypatch.setattr(store, "PAGE", 7)
    monkeypatch.setattr(hearing, "PAGE", 7)
    rng, writers, each_writes = random.Random(seed), 6, 40
    kinds = list(happening_types())
    token = workspace.token("admin")
    admin, killing = await asyncpg.connect(stack.admin_dsn), asyncio.Lock()
    async with talking(gateways[0].address, token) as talk:
        start = talk.cursor

    async def write() -> None:
        left = each_writes
        while left:
            size = min(left, rng.randint(1, 5))
            await happen(apps, workspace.id, clock, *rng.choices(kinds, k=size))
            left -= size

    async def hear() -> list[str]:
        ids, after, hops = list[str](), start, 0
        while len(ids) < writers * each_writes:
            async with talking(gateways[hops % 2].address, token) as talk:
                await talk.subscribe(EVENTS, after=after)
                for _ in range(min(rng.randint(1, 40), writers * each_writes - len(ids))):
                    told = (await talk.told())["happenings"]
                    ids.append(told["id"])
                    after = told["cursor"]
            hops += 1
            async with killing:
                await admin.execute(KILL_LISTENING)
        return ids

    listeners = [asyncio.create_task(hear()) for _ in range(3)]
    await asyncio.gather(*(write() for _ in range(writers)))
    heard = await asyncio.gather(*listeners)
    kept = await admin.fetch("SELECT id FROM gateway.happening WHERE workspace_id = $1 ORDER BY position", workspace.id)
    await admin.close()
    for ids in heard:
        assert ids == [str(row["id"]) for row in kept]
