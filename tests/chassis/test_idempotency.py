"""What an Idempotency-Key promises: one effect and one answer, however often and however much at once."""

import asyncio
from typing import Any

import asyncpg
import httpx
import pytest
from fastapi import FastAPI

from chassis.sweeping import sweep
from chassis.testing import Clock, TestStack
from tests.parts import Connect, Workspace

CAMPAIGN = {"name": "A", "slug": "a", "channels": ["email"], "flight": {"start": "2026-03-01", "end": "2026-04-01"}}


def objective(name: str) -> dict[str, str]:
    return {"name": name, "stakeholder": "ceo"}


async def send(
    client: httpx.AsyncClient, key: str, body: dict[str, Any], path: str = "/v1/objectives"
) -> httpx.Response:
    return await client.post(path, json=body, headers={"Idempotency-Key": key})


async def names(client: httpx.AsyncClient) -> list[str]:
    return [item["name"] for item in (await client.get("/v1/objectives")).json()["items"]]


async def test_a_write_that_is_sent_again_gets_its_first_answer(goals: httpx.AsyncClient) -> None:
    first, again = await send(goals, "k", objective("Grow")), await send(goals, "k", objective("Grow"))
    assert (first.status_code, again.status_code, first.content) == (201, 201, again.content)
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert await names(goals) == ["Grow"]


async def test_a_write_may_come_again_by_another_address(apps: dict[str, FastAPI], goals: httpx.AsyncClient) -> None:
    first = await send(goals, "k", objective("Grow"))
    transport = httpx.ASGITransport(apps["goals"])
    async with httpx.AsyncClient(transport=transport, base_url="https://replica:8006", headers=goals.headers) as other:
        again = await send(other, "k", objective("Grow"))
    assert (again.status_code, again.content) == (201, first.content)


async def test_many_at_once_on_one_key_have_one_effect(goals: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(*(send(goals, "k", objective("Grow")) for _ in range(64)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert await names(goals) == ["Grow"]


async def test_a_key_with_another_body_is_refused_before_any_write(goals: httpx.AsyncClient) -> None:
    await send(goals, "k", objective("Grow"))
    other = await send(goals, "k", objective("Shrink"))
    assert (other.status_code, other.json()["errors"][0]["field"]) == (422, "Idempotency-Key")
    assert await names(goals) == ["Grow"]


async def test_a_key_is_of_its_caller_operation_and_workspace(
    goals: httpx.AsyncClient, connect: Connect, other_workspace: Workspace
) -> None:
    await send(goals, "k", objective("Grow"))
    assert (await send(goals, "k", CAMPAIGN, "/v1/campaigns")).status_code == 201
    theirs = connect("goals", other_workspace)
    assert (await send(theirs, "k", objective("Other"))).json()["name"] == "Other"


async def test_a_failure_leaves_the_key_free(goals: httpx.AsyncClient) -> None:
    assert (await send(goals, "k", {**CAMPAIGN, "slug": "taken"}, "/v1/campaigns")).status_code == 201
    clash = await send(goals, "k2", {**CAMPAIGN, "slug": "taken"}, "/v1/campaigns")
    assert clash.status_code == 409
    assert (await send(goals, "k2", {**CAMPAIGN, "slug": "free"}, "/v1/campaigns")).status_code == 201


@pytest.mark.parametrize("key", ["", "x" * 256])
async def test_a_key_that_is_none_is_refused(goals: httpx.AsyncClient, key: str) -> None:
    assert (await send(goals, key, objective("Grow"))).json()["errors"][0]["field"] == "Idempotency-Key"


async def test_an_answer_is_kept_sealed(goals: httpx.AsyncClient, workspace: Workspace, stack: TestStack) -> None:
    await send(goals, "k", objective("Zanzibar"))
    admin = await asyncpg.connect(stack.admin_dsn)
    kept = await admin.fetchval("SELECT answer FROM goals.idempotency WHERE workspace_id = $1", workspace.id)
    await admin.close()
    assert kept
    assert b"Zanzibar" not in kept


async def test_a_key_is_forgotten_after_two_days(
    apps: dict[str, FastAPI], goals: httpx.AsyncClient, connect: Connect, workspace: Workspace, clock: Clock
) -> None:
    await send(goals, "k", objective("Grow"))
    clock.forward(hours=23)
    await sweep(apps["goals"])
    assert "Idempotency-Replayed" in (await send(goals, "k", objective("Grow"))).headers
    clock.forward(days=2)
    await sweep(apps["goals"])
    later = await send(connect("goals", workspace), "k", objective("Grow"))
    assert (later.status_code, "Idempotency-Replayed" in later.headers) == (201, False)
