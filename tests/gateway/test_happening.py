"""What is kept of what happens, and who hears of it."""

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
from fastapi import FastAPI

from chassis.db import Database
from chassis.fields import new_id
from chassis.inbox import Incoming
from chassis.outbox import Event, record
from chassis.testing import Clock, TestStack
from deploy import events
from gateway.happening.actions import KEPT, forget_happenings
from gateway.happening.catalog import CONTRACT, happening_types
from gateway.happening.store import keep
from services.goals.campaign.models import CampaignCreated
from tests.parts import Connect, Deliver, Workspace


async def tell(apps: dict[str, FastAPI], workspace: Workspace, clock: Clock, *names: str) -> UUID:
    subject = new_id()
    async with apps["goals"].state.database.tenant(workspace.id) as session:
        for name in names:
            await record(session, CampaignCreated(campaign_id=subject, slug=name, name=name), subject, clock.now)
    return subject


async def test_what_any_part_tells_is_kept_once_and_in_order_under_its_own_id(
    apps: dict[str, FastAPI], connect: Connect, workspace: Workspace, clock: Clock, deliver: Deliver, stack: TestStack
) -> None:
    subject = await tell(apps, workspace, clock, "first", "second")
    admin = await asyncpg.connect(stack.admin_dsn)
    waiting = "SELECT * FROM goals.delivery WHERE workspace_id = $1 AND subscriber = 'gateway'"
    rows = await admin.fetch(waiting, workspace.id)
    ids = [str(row["id"]) for row in await admin.fetch("SELECT id FROM goals.outbox WHERE subject = $1", str(subject))]
    await deliver()
    for row in rows:  # as if the relay had died before it noted the answer
        await admin.execute(
            "INSERT INTO goals.delivery (workspace_id, outbox_id, subscriber, subject, attempts, due_at, last_error)"
            " VALUES ($1, $2, 'gateway', $3, 0, $4, '')",
            row["workspace_id"], row["outbox_id"], row["subject"], row["due_at"],
        )  # fmt: skip
    await admin.close()
    await deliver()
    found = (await connect("gateway", workspace).get(f"/v1/happenings?subject={subject}")).json()["items"]
    assert sorted(each["id"] for each in found) == sorted(ids)
    assert {each["data"]["name"] for each in found} == {"first", "second"}
    assert {(each["type"], each["part"]) for each in found} == {("goals.campaign.created", "goals")}


async def test_nobody_hears_of_parts_that_they_may_not_read(
    apps: dict[str, FastAPI], connect: Connect, workspace: Workspace, clock: Clock, deliver: Deliver
) -> None:
    await tell(apps, workspace, clock, "campaign")
    await deliver()
    client = connect("gateway", workspace)

    async def parts(path: str, *scopes: str) -> set[str]:
        headers = {"Authorization": f"Bearer {workspace.token('admin', scopes=sorted(scopes))}"}
        answer = await client.get(path, headers=headers)
        assert answer.status_code == 200, answer.text
        return {each["part"] for each in answer.json()["items"]}

    for path, always in (("/v1/happenings?limit=200", set()), ("/v1/happening-types?limit=200", {"gateway"})):
        assert await parts(path, "workspace:read") == always
        assert await parts(path, "workspace:read", "goals:read") == always | {"goals"}
    assert await parts("/v1/happenings?part=goals&part=budget", "workspace:read", "budget:read") == set()
    assert await parts("/v1/happenings?part=goals", "workspace:read", "goals:read") == {"goals"}


async def test_positions_rise_in_the_order_of_commits(
    apps: dict[str, FastAPI], workspace: Workspace, clock: Clock, stack: TestStack
) -> None:
    """Whoever asks for what comes after the last one seen misses none."""
    database: Database = apps["gateway"].state.database
    begun, go_on = asyncio.Event(), asyncio.Event()

    def event() -> Incoming:
        return Incoming(
            id=new_id(), source="/goals", type="goals.goal.created", subject=str(new_id()), time=clock.now,
            workspaceid=workspace.id, data={},
        )  # fmt: skip

    async def slow() -> None:
        async with database.tenant(workspace.id) as session:
            await keep(session, [event()], clock.now)
            begun.set()
            await go_on.wait()

    async def quick() -> None:
        async with database.tenant(workspace.id) as session:
            await keep(session, [event()], clock.now)

    admin = await asyncpg.connect(stack.admin_dsn)
    seen = "SELECT coalesce(max(position), 0) FROM gateway.happening WHERE workspace_id = $1"
    first = asyncio.create_task(slow())
    await begun.wait()
    second = asyncio.create_task(quick())
    held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    async with asyncio.timeout(20):
        while not await admin.fetchval(held) and not second.done():  # noqa: ASYNC110  # it is in SQL
            await asyncio.sleep(0)
    last = await admin.fetchval(seen, workspace.id)
    go_on.set()
    await asyncio.gather(first, second)
    after = "SELECT count(*) FROM gateway.happening WHERE workspace_id = $1 AND position > $2"
    assert await admin.fetchval(after, workspace.id, last) == 2
    await admin.close()


async def test_it_is_forgotten_when_nobody_can_still_be_waiting_for_it(
    apps: dict[str, FastAPI], connect: Connect, workspace: Workspace, clock: Clock, deliver: Deliver
) -> None:
    subject = await tell(apps, workspace, clock, "old")
    await deliver()
    client = connect("gateway", workspace)
    client.headers["Authorization"] = f"Bearer {workspace.token('admin', lifetime=timedelta(days=99))}"

    async def left() -> int:
        return len((await client.get(f"/v1/happenings?subject={subject}")).json()["items"])

    clock.forward(days=KEPT.days - 1)
    await forget_happenings(apps["gateway"])
    assert await left() == 1
    clock.forward(days=2)
    await forget_happenings(apps["gateway"])
    assert await left() == 0


async def test_every_kind_of_event_has_its_words_and_its_schema(connect: Connect, workspace: Workspace) -> None:
    client = connect("gateway", workspace)
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await client.get("/v1/happening-types", params={"limit": 7, **cursor})).json()
        found += page["items"]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert [each["type"] for each in found] == sorted(kind.type for kind in events.published())
    assert all(each["description"] and each["data_schema"]["type"] == "object" for each in found)
    assert set(happening_types()) == {each["type"] for each in found}


class Told(Event):
    """Something."""

    type = "goals.thing.done"
    thing_id: UUID
    count: int


def test_a_kind_or_a_field_that_is_gone_or_changed_breaks_listeners() -> None:
    before = json.loads(Path(CONTRACT).read_text())
    assert events.breaks(before, before) == []
    after = json.loads(Path(CONTRACT).read_text())
    schemas = after["components"]["schemas"]
    del schemas["goals.goal.created"]
    data = schemas["goals.goal.achieved"]["properties"]["data"]["properties"]
    del data["target_value"]
    data["goal_id"] = {"type": "integer"}
    assert {str(each).partition(":")[0] for each in events.breaks(before, after)} == {
        "goals.goal.created", "goals.goal.achieved.target_value", "goals.goal.achieved.goal_id",
    }  # fmt: skip
    schema = events.envelope(Told)["properties"]
    assert schema["type"] == {"const": "goals.thing.done"}
    assert set(schema["data"]["properties"]) == {"thing_id", "count"}


async def test_what_cannot_be_kept_comes_again_and_holds_up_no_other_workspace(
    apps: dict[str, FastAPI], workspace: Workspace, clock: Clock, deliver: Deliver, connect: Connect
) -> None:
    await tell(apps, workspace, clock, "late")
    keeps = apps["gateway"].state.keeps

    async def fail(*_: Any) -> None:
        raise ValueError("no room")

    apps["gateway"].state.keeps = fail
    try:
        await deliver()
    finally:
        apps["gateway"].state.keeps = keeps
    client = connect("gateway", workspace)
    assert (await client.get("/v1/happenings?part=goals")).json()["items"] == []
    clock.forward(seconds=1)
    await deliver()
    assert [each["data"]["name"] for each in (await client.get("/v1/happenings?part=goals")).json()["items"]] == [
        "late"
    ]
