"""What an event promises: recorded with its change, delivered in order per subject, taking effect once."""

import asyncio
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import Database
from chassis.fields import new_id
from chassis.inbox import Incoming
from chassis.outbox import record
from chassis.testing import Clock, TestStack
from services.goals.campaign.models import CampaignCreated
from tests.parts import Connect, Deliver, Workspace


@pytest.fixture
def heard(apps: dict[str, FastAPI], monkeypatch: pytest.MonkeyPatch, workspace: Workspace) -> list[Incoming]:
    """What metrics heard of this test's campaigns, in order; a name of "refuse" is refused."""
    events: list[Incoming] = []

    async def listen(session: AsyncSession, event: Incoming) -> None:
        if event.workspaceid == workspace.id:
            if event.data["name"] == "refuse":
                raise ValueError("not today")
            events.append(event)

    monkeypatch.setitem(apps["metrics"].state.consumes, "goals.campaign.created", listen)
    return events


async def tell(apps: dict[str, FastAPI], workspace: Workspace, clock: Clock, subject: UUID, *names: str) -> None:
    database: Database = apps["goals"].state.database
    async with database.tenant(workspace.id) as session:
        for name in names:
            await record(session, CampaignCreated(campaign_id=subject, slug=name, name=name), subject, clock.now)


async def test_a_change_that_is_rolled_back_tells_nobody(
    apps: dict[str, FastAPI], workspace: Workspace, clock: Clock, deliver: Deliver, heard: list[Incoming]
) -> None:
    database: Database = apps["goals"].state.database
    event = CampaignCreated(campaign_id=new_id(), slug="x", name="x")

    async def fail() -> None:
        async with database.tenant(workspace.id) as session:
            await record(session, event, event.campaign_id, clock.now)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    await deliver()
    assert heard == []


async def test_events_of_a_subject_arrive_in_order_however_many_write_at_once(
    apps: dict[str, FastAPI], workspace: Workspace, clock: Clock, deliver: Deliver, heard: list[Incoming],
    stack: TestStack,
) -> None:  # fmt: skip
    subject = new_id()
    await asyncio.gather(*(tell(apps, workspace, clock, subject, f"{n}-a", f"{n}-b") for n in range(16)))
    admin = await asyncpg.connect(stack.admin_dsn)
    # The order of commits, as the database's own transaction log of this table saw it.
    committed = await admin.fetch(
        "SELECT o.data->>'name' AS name FROM goals.outbox o JOIN goals.delivery d ON d.outbox_id = o.id "
        "WHERE o.workspace_id = $1 AND d.subscriber = 'metrics' ORDER BY d.position", workspace.id,
    )  # fmt: skip
    await admin.close()
    await deliver()
    names = [event.data["name"] for event in heard]
    assert names == [row["name"] for row in committed]
    assert len(set(names)) == 32
    assert all(names.index(f"{n}-b") == names.index(f"{n}-a") + 1 for n in range(16))


async def test_an_event_takes_effect_once_however_often_it_comes(
    apps: dict[str, FastAPI], workspace: Workspace, clock: Clock, deliver: Deliver, heard: list[Incoming],
    stack: TestStack,
) -> None:  # fmt: skip
    await tell(apps, workspace, clock, new_id(), "once")
    admin = await asyncpg.connect(stack.admin_dsn)
    kept = await admin.fetch("SELECT * FROM goals.delivery WHERE workspace_id = $1", workspace.id)
    await deliver()
    for row in kept:
        # As if the relay had died between the subscriber's answer and its own commit.
        await admin.execute(
            "INSERT INTO goals.delivery (workspace_id, outbox_id, subscriber, subject, attempts, due_at, last_error) "
            "VALUES ($1, $2, $3, $4, 0, $5, '')",
            row["workspace_id"], row["outbox_id"], row["subscriber"], row["subject"], row["due_at"],
        )  # fmt: skip
    await admin.close()
    await deliver()
    assert [event.data["name"] for event in heard] == ["once"]


async def test_a_refused_event_holds_up_its_subject_alone_and_comes_again(
    apps: dict[str, FastAPI], workspace: Workspace, clock: Clock, deliver: Deliver, heard: list[Incoming],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    stuck, free = new_id(), new_id()
    await tell(apps, workspace, clock, stuck, "refuse", "after")
    await tell(apps, workspace, clock, free, "free")
    await deliver()
    assert [event.data["name"] for event in heard] == ["free"]
    names: list[str] = []

    async def listen(session: AsyncSession, event: Incoming) -> None:
        names.append(event.data["name"])

    monkeypatch.setitem(apps["metrics"].state.consumes, "goals.campaign.created", listen)
    await deliver()
    assert names == []
    clock.forward(seconds=1)
    await deliver()
    assert names == ["refuse", "after"]


async def test_a_relay_that_is_stopped_ends_with_its_last_lease(
    apps: dict[str, FastAPI], workspace: Workspace, clock: Clock, deliver: Deliver, stack: TestStack,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    await deliver()
    await tell(apps, workspace, clock, new_id(), "x")
    relay = apps["goals"].state.relay
    subscribers = len(relay.settings.subscribers)
    posting = asyncio.Semaphore(0)

    async def never(*_: Any) -> Any:
        posting.release()
        await asyncio.Event().wait()

    monkeypatch.setattr(relay, "_post", never)
    admin, holder = await asyncpg.connect(stack.admin_dsn), await asyncpg.connect(stack.admin_dsn)
    running = asyncio.create_task(relay.run())
    async with asyncio.timeout(20):
        for _ in range(subscribers):
            await posting.acquire()
        async with holder.transaction():
            # One lease can't be let go of yet; the others can.
            await holder.execute(
                "SELECT FROM goals.delivery WHERE workspace_id = $1 AND subscriber = 'metrics' FOR UPDATE", workspace.id
            )
            running.cancel()
            settled = "SELECT count(*) FROM goals.delivery WHERE workspace_id = $1 AND attempts = 1"
            while await admin.fetchval(settled, workspace.id) < subscribers - 1:  # noqa: ASYNC110  # it is in SQL
                await asyncio.sleep(0)
            assert not (await asyncio.wait([running], timeout=0.3))[0]
        with pytest.raises(asyncio.CancelledError):
            await running
    leased = "SELECT count(*) FROM goals.delivery WHERE workspace_id = $1 AND due_at > $2"
    assert await admin.fetchval(leased, workspace.id, clock.now) == 0
    await admin.close()
    await holder.close()


async def test_events_that_are_too_large_together_go_one_post_after_the_other(
    apps: dict[str, FastAPI], workspace: Workspace, clock: Clock, deliver: Deliver, heard: list[Incoming]
) -> None:
    names = [f"{n} " + "я" * 2000 for n in range(50)]
    await tell(apps, workspace, clock, new_id(), *names)
    await deliver()
    assert [event.data["name"] for event in heard] == names


@pytest.mark.parametrize("trouble", [asyncpg.InternalClientError("?"), KeyError("refused")])
async def test_a_relay_outlives_whatever_goes_wrong(
    apps: dict[str, FastAPI], workspace: Workspace, clock: Clock, deliver: Deliver, heard: list[Incoming],
    monkeypatch: pytest.MonkeyPatch, trouble: Exception,
) -> None:  # fmt: skip
    await deliver()
    relay = apps["goals"].state.relay
    lease, failures = relay._lease, [trouble] * len(relay.settings.subscribers)

    async def failing(subscriber: str) -> Any:
        if failures:
            raise failures.pop()
        return await lease(subscriber)

    monkeypatch.setattr(relay, "_lease", failing)
    running = asyncio.create_task(relay.run())
    await tell(apps, workspace, clock, new_id(), "x")
    async with asyncio.timeout(20):
        while not heard and not running.done():  # noqa: ASYNC110  # it is another task that hears
            await asyncio.sleep(0.01)
    assert not running.done()
    relay.stop()
    await running
    relay._stopping = False
    assert [event.data["name"] for event in heard] == ["x"]


async def test_only_services_reach_an_inbox(connect: Connect, workspace: Workspace) -> None:
    answer = await connect("metrics", workspace).post("/v1/inbox", json=[])
    assert (answer.status_code, answer.json()["code"]) == (403, "services_only")


async def test_a_service_speaks_for_itself_alone(
    apps: dict[str, FastAPI], connect: Connect, workspace: Workspace, heard: list[Incoming]
) -> None:
    forged = {
        "id": str(new_id()), "source": "/goals", "type": "goals.campaign.created", "subject": "x",
        "time": "2026-06-15T12:00:00Z", "workspaceid": str(workspace.id), "data": {"name": "forged"},
    }  # fmt: skip
    headers = await apps["assets"].state.account.headers()
    answer = await connect("metrics").post("/v1/inbox", json=[forged], headers=headers)
    assert list(answer.json()["refused"]) == [forged["id"]]
    assert heard == []


async def test_no_transaction_is_open_while_a_subscriber_is_called(
    apps: dict[str, FastAPI], workspace: Workspace, clock: Clock, deliver: Deliver, stack: TestStack,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    await deliver()
    await tell(apps, workspace, clock, new_id(), "x")
    admin = await asyncpg.connect(stack.admin_dsn)
    open_ones: list[int] = []
    post = apps["goals"].state.relay._post

    async def watched(*args: Any) -> Any:
        role = f"{stack.name}_goals"
        counted = "SELECT count(*) FROM pg_stat_activity WHERE usename = $1 AND state = 'idle in transaction'"
        open_ones.append(await admin.fetchval(counted, role))
        return await post(*args)

    monkeypatch.setattr(apps["goals"].state.relay, "_post", watched)
    await deliver()
    await admin.close()
    assert open_ones
    assert set(open_ones) == {0}


async def test_an_event_of_one_workspace_never_touches_another(
    goals: httpx.AsyncClient, connect: Connect, other_workspace: Workspace, deliver: Deliver
) -> None:
    made: Any = await goals.post("/v1/campaigns", json={
        "name": "A", "slug": "a", "channels": ["email"], "flight": {"start": "2026-03-01", "end": "2026-04-01"},
    })  # fmt: skip
    assert made.status_code == 201
    await deliver()
    assert (await connect("goals", other_workspace).get("/v1/campaigns")).json()["items"] == []
