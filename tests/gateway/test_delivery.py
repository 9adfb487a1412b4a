"""What endpoints are told: signed, in order, again where they failed, and each at its own pace."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import jsonschema_rs
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import Database
from chassis.fields import new_id
from chassis.inbox import Incoming
from chassis.outbox import record
from chassis.outside import Outside
from chassis.testing import Clock, TestStack
from gateway.delivery import actions, dispatcher, store
from gateway.delivery.dispatcher import Dispatcher
from gateway.delivery.places import MOST_QUICK, QUICK_SECONDS, Places
from gateway.delivery.rules import BUSY, HTTP_DATE, JITTER, LONGEST_ASKED, MOST_ATTEMPTS, WAITS, asked_wait, next_wait
from gateway.endpoint.rules import FAILING_FOR
from gateway.happening.actions import KEPT, forget_happenings
from gateway.happening.catalog import CONTRACT
from services.goals.campaign.models import CampaignCreated
from tests.gateway.receiver import HANGS, Receiver, only_here, receiving
from tests.parts import Connect, Deliver, Workspace

TYPE = "goals.goal.achieved"
EVENTS = json.loads(CONTRACT.read_text())["components"]["schemas"]


@pytest.fixture(scope="session")
def outside() -> Outside:
    return Outside(only_here, hosts=["127.0.0.1"])


Start = Callable[[], Dispatcher]


@pytest.fixture
def start(apps: dict[str, FastAPI], outside: Outside, clock: Clock) -> Start:
    """`start()`: what another gateway process would tell with."""
    state = apps["gateway"].state
    return lambda: Dispatcher(state.database, outside, state.sealer, clock, state.measures)


@pytest.fixture
async def receiver(
    apps: dict[str, FastAPI], outside: Outside, workspace: Workspace, stack: TestStack
) -> AsyncIterator[Receiver]:
    """Afterwards the workspace's endpoints are told nothing more: their port may be another receiver's."""
    state = apps["gateway"].state
    state.outside, before = outside, state.outside
    async with receiving() as found:
        yield found
    state.outside = before
    db = await asyncpg.connect(stack.admin_dsn)
    await db.execute("UPDATE gateway.endpoint SET state = 'disabled' WHERE workspace_id = $1", workspace.id)
    await db.close()


@pytest.fixture
def admin(connect: Connect, workspace: Workspace) -> httpx.AsyncClient:
    client = connect("gateway", workspace)
    client.headers["Authorization"] = f"Bearer {workspace.token('admin', lifetime=timedelta(days=99))}"
    return client


Endpoint = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture
def endpoint(admin: httpx.AsyncClient, receiver: Receiver) -> Endpoint:
    """`await endpoint("/path", "goals.*")`: an endpoint at the receiver."""

    async def make(path: str, *types: str) -> dict[str, Any]:
        body = {"url": receiver.url + path, "types": list(types or ("*",))}
        answer = await admin.post("/v1/endpoints", json=body)
        assert answer.status_code == 201, answer.text
        found: dict[str, Any] = answer.json()
        return found

    return make


Happen = Callable[..., Awaitable[list[UUID]]]


@pytest.fixture
def happen(apps: dict[str, FastAPI], workspace: Workspace, clock: Clock) -> Happen:
    """`await happen(3, subject)`: so many events that the gateway heard, about one subject if it is given."""

    async def keep(count: int = 1, subject: UUID | None = None, kind: str = TYPE) -> list[UUID]:
        events = [
            Incoming(
                id=new_id(), source=f"/{kind.partition('.')[0]}", type=kind, subject=str(subject or new_id()),
                time=clock.now, workspaceid=workspace.id, data={"number": number},
            )
            for number in range(count)
        ]  # fmt: skip
        database: Database = apps["gateway"].state.database
        async with database.tenant(workspace.id) as session:
            await actions.hear(session, events, clock.now)
        return [event.id for event in events]

    return keep


async def told(telling: Dispatcher, receiver: Receiver) -> int:
    """How often this receiver was told something by telling all that is due, which other tests left some of."""
    before = len(receiver.posts)
    await telling.deliver_due()
    return len(receiver.posts) - before


async def deliveries(admin: httpx.AsyncClient, **asked: Any) -> list[dict[str, Any]]:
    answer = await admin.get("/v1/deliveries", params={"limit": 200, **asked})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


async def test_what_happens_reaches_who_asked_for_it_signed_and_as_the_contract_says(
    apps: dict[str, FastAPI], workspace: Workspace, clock: Clock, deliver: Deliver, endpoint: Endpoint,
    receiver: Receiver, start: Start, admin: httpx.AsyncClient,
) -> None:  # fmt: skip
    wants = await endpoint("/wants", "goals.campaign.*")
    await endpoint("/other", "budget.*", "goals.goal.*")
    subject = new_id()
    async with apps["goals"].state.database.tenant(workspace.id) as session:
        await record(session, CampaignCreated(campaign_id=subject, slug="a", name="Ä"), subject, clock.now)
    await deliver()
    await start().deliver_due()
    (post,) = receiver.posts
    assert (post.path, post.headers["content-type"]) == ("/wants", "application/json")
    assert post.signed_by(wants["secret"])
    assert not post.signed_by("whsec_AAAA")
    assert post.headers["webhook-timestamp"] == str(int(clock.now.timestamp()))
    assert post.id == post.event["id"]
    assert post.event["data"]["name"] == "Ä"
    jsonschema_rs.validate(EVENTS[post.event["type"]] | {"additionalProperties": False}, post.event)
    (delivery,) = await deliveries(admin)
    assert (delivery["state"], delivery["attempts"], delivery["last_status"]) == ("delivered", 1, 204)
    assert delivery["happening_id"] == post.id
    assert delivery["endpoint_id"] == wants["id"]
    for asked in ({"state": "waiting"}, {"type": TYPE}, {"endpoint_id": str(new_id())}):
        assert await deliveries(admin, **asked) == []
    grouped = await admin.get("/v1/deliveries", params={"endpoint_id": wants["id"], "limit_per": 5})
    assert [each["id"] for each in grouped.json()["groups"][0]["items"]] == [delivery["id"]]


async def test_an_endpoint_is_told_of_no_part_that_its_maker_could_not_read(
    workspace: Workspace, connect: Connect, happen: Happen, receiver: Receiver, start: Start, admin: httpx.AsyncClient
) -> None:
    token = workspace.token("admin", scopes=["identity:write", "budget:read"])
    body = {"url": f"{receiver.url}/its", "types": ["*"]}
    narrow = {"Authorization": f"Bearer {token}"}
    assert (await connect("gateway").post("/v1/endpoints", json=body, headers=narrow)).status_code == 201
    await happen(kind=TYPE)
    (decided,) = await happen(kind="budget.request.decided")
    await start().deliver_due()
    assert [post.id for post in receiver.posts] == [str(decided)]


async def test_a_test_event_goes_the_same_way_and_to_that_endpoint_alone(
    endpoint: Endpoint, receiver: Receiver, start: Start, admin: httpx.AsyncClient
) -> None:
    tried = await endpoint("/tried", "budget.*")
    other = await endpoint("/other", "*")
    made = await admin.post(f"/v1/endpoints/{tried['id']}/test")
    assert (made.status_code, made.json()["state"]) == (201, "waiting")
    await start().deliver_due()
    (post,) = receiver.posts
    assert (post.path, post.event["type"]) == ("/tried", "gateway.endpoint.tested")
    assert post.event["data"] == {"endpoint_id": tried["id"]}
    assert post.signed_by(tried["secret"])
    assert (await admin.get(f"/v1/deliveries/{made.json()['id']}")).json()["state"] == "delivered"
    again = await admin.post(f"/v1/endpoints/{other['id']}/replay", json={"since": "2026-06-15T00:00:00Z"})
    assert again.json()["deliveries"] == 0


async def test_a_failure_is_tried_eight_times_over_a_day_and_then_given_up_and_can_be_told_again(
    endpoint: Endpoint, happen: Happen, receiver: Receiver, start: Start, admin: httpx.AsyncClient, clock: Clock,
    workspace: Workspace,
) -> None:  # fmt: skip
    failing = await endpoint("/fails")
    receiver.answers["/fails"] = 503
    (event,) = await happen()
    telling, began, attempt = start(), clock.now, 1
    while await told(telling, receiver):
        (delivery,) = await deliveries(admin)
        assert (delivery["attempts"], delivery["last_error"]) == (attempt, "it answered 503")
        if delivery["due_at"] is None:
            break
        due = datetime.fromisoformat(delivery["due_at"])
        assert abs((due - clock.now) / WAITS[attempt - 1] - 1) <= JITTER
        clock.now = due - timedelta(milliseconds=1)
        assert await told(telling, receiver) == 0
        clock.now, attempt = due, attempt + 1
    assert (attempt, delivery["state"]) == (8, "given_up")
    assert timedelta(hours=24) < clock.now - began < timedelta(hours=31)
    assert {post.id for post in receiver.posts} == {str(event)}
    assert len(receiver.posts) == 8
    del receiver.answers["/fails"]
    again = await admin.post(f"/v1/deliveries/{delivery['id']}/replay")
    assert (again.json()["state"], again.json()["attempts"]) == ("waiting", 0)
    await telling.deliver_due()
    (delivery,) = await deliveries(admin)
    assert (delivery["state"], delivery["last_error"], delivery["attempts"]) == ("delivered", None, 1)
    assert receiver.posts[-1].id == str(event)
    few = {"Authorization": f"Bearer {workspace.token('admin', scopes=['identity:write', 'goals:read'])}"}
    refused = await admin.post(f"/v1/deliveries/{delivery['id']}/replay", headers=few)
    assert (refused.status_code, refused.json()["code"]) == (403, "beyond_own")
    assert (await admin.get(f"/v1/endpoints/{failing['id']}")).json()["failing_since"] is None


async def test_replay_brings_what_was_given_up_and_what_happened_while_nothing_was_told(
    endpoint: Endpoint, happen: Happen, receiver: Receiver, start: Start, admin: httpx.AsyncClient, clock: Clock,
    stack: TestStack,
) -> None:  # fmt: skip
    its = await endpoint("/its", "goals.goal.*")
    path, telling = f"/v1/endpoints/{its['id']}", start()
    (before,) = await happen()
    await telling.deliver_due()
    (taken,) = await deliveries(admin)
    clock.forward(hours=1)
    since = clock.now
    receiver.answers["/its"] = 500
    (failed,) = await happen()
    db = await asyncpg.connect(stack.admin_dsn)
    await db.execute("UPDATE gateway.webhook_delivery SET attempts = 7 WHERE state = 'waiting'")
    await db.close()
    await telling.deliver_due()
    assert [each["state"] for each in await deliveries(admin)] == ["delivered", "given_up"]
    await admin.post(f"{path}/disable")
    (missed,) = await happen()
    await happen(kind="budget.request.decided")
    await telling.deliver_due()
    assert len(await deliveries(admin)) == 2
    await admin.post(f"{path}/enable")
    receiver.answers["/its"] = 200
    receiver.posts.clear()
    answer = await admin.post(f"{path}/replay", json={"since": since.isoformat()})
    assert answer.json() == {"endpoint_id": its["id"], "deliveries": 2}
    await telling.deliver_due()
    assert [post.id for post in receiver.posts] == [str(failed), str(missed)]
    assert (await admin.post(f"{path}/replay", json={"since": since.isoformat()})).json()["deliveries"] == 0
    await admin.post(f"/v1/deliveries/{taken['id']}/replay")
    await telling.deliver_due()
    assert receiver.posts[-1].id == str(before)


async def test_both_live_secrets_sign_until_the_older_one_ends(
    endpoint: Endpoint, happen: Happen, receiver: Receiver, start: Start, admin: httpx.AsyncClient, clock: Clock
) -> None:
    its, telling = await endpoint("/its"), start()
    turned = (await admin.post(f"/v1/endpoints/{its['id']}/rotate", json={"keep_old_minutes": 5})).json()
    for minutes, old_signs in ((4, True), (1, False)):
        clock.forward(minutes=minutes)
        await happen()
        await telling.deliver_due()
        assert receiver.posts[-1].signed_by(turned["secret"])
        assert receiver.posts[-1].signed_by(its["secret"]) == old_signs


async def test_receivers_that_hang_fail_or_redirect_delay_nobody_else(
    endpoint: Endpoint, happen: Happen, receiver: Receiver, start: Start, admin: httpx.AsyncClient
) -> None:
    """Even when there are more of them than there is room for."""
    telling = start()
    telling._places.most = 8
    for number in range(10):
        receiver.answers[f"/hangs/{number}"] = HANGS
        await endpoint(f"/hangs/{number}")
    receiver.answers |= {"/fails": 500, "/moved-away": 302}
    failing, moved, well = await endpoint("/fails"), await endpoint("/moved-away"), await endpoint("/well")
    running = asyncio.create_task(telling.run())
    try:
        telling._places.quick.add(UUID(well["id"]))
        await happen(9)
        telling.wake()
        await receiver.until(lambda: len(receiver.to("/well")) == 9)
        hanging = [post for post in receiver.posts if post.path.startswith("/hangs")]
        assert 0 < len(hanging) <= 4, "they share half of the room"
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    waiting = await deliveries(admin, state="waiting")
    assert not receiver.to("/moved")
    hung = [each for each in waiting if each["endpoint_id"] not in (failing["id"], moved["id"])]
    assert {each["attempts"] for each in hung} == {0}, "what was broken off is given back"
    # Given back at once, and not when the lease ends.
    for number in range(10):
        receiver.answers[f"/hangs/{number}"] = 200
    await start().deliver_due()
    left = await deliveries(admin, state="waiting")
    assert {each["endpoint_id"] for each in left} == {failing["id"], moved["id"]}
    # One that was being leased just when it all ended, if there was one, waits for its lease.
    assert {each["last_error"] for each in left} - {None} == {
        "it answered 500", "it answered 302, a redirect, which isn't followed",
    }  # fmt: skip


async def test_what_nobody_thought_of_costs_one_look_and_one_note(
    endpoint: Endpoint, happen: Happen, receiver: Receiver, start: Start, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    await endpoint("/its")
    telling, failed, lease, settle = start(), asyncio.Event(), store.lease, actions.settle

    async def odd_look(*given: Any) -> Any:
        monkeypatch.setattr(store, "lease", lease)
        failed.set()
        raise RuntimeError("odd look")

    async def odd_note(*given: Any) -> None:
        monkeypatch.setattr(actions, "settle", settle)
        raise RuntimeError("odd note")

    monkeypatch.setattr(store, "lease", odd_look)
    running = asyncio.create_task(telling.run())
    try:
        async with asyncio.timeout(10):
            await failed.wait()
        # The first one's is odd, whenever it is written.
        monkeypatch.setattr(actions, "settle", odd_note)
        for _ in range(2):
            before = len(receiver.posts)
            await happen()
            telling.wake()
            await receiver.until(lambda before=before: len(receiver.posts) > before)  # type: ignore[misc]
        assert not running.done()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert {"webhooks_not_looked_at", "webhook_not_settled"} <= {each.message for each in caplog.records}


async def test_what_is_answered_while_one_note_is_written_is_noted_with_the_next(
    endpoint: Endpoint, happen: Happen, receiver: Receiver, start: Start, admin: httpx.AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """So that no receiver's place waits for the notes of others, one after the other; and what breaks one note costs no
    other."""
    for number in range(12):
        receiver.answers[f"/{number}"] = 500 if number % 2 else 204
        broken = (await endpoint(f"/{number}"))["id"]
    await happen()
    settle, transactions, posts = actions.settle, set[AsyncSession](), 12

    async def settle_slowly(session: AsyncSession, row: Any, *rest: Any) -> None:
        if not transactions:
            await receiver.until(lambda: len(receiver.posts) == posts)
        transactions.add(session)
        if str(row.endpoint_id) == broken:
            await session.execute(text("SELECT 1 / 0"))
        await settle(session, row, *rest)

    monkeypatch.setattr(actions, "settle", settle_slowly)
    telling = start()
    await telling.take_up()
    await asyncio.gather(*telling._running)
    found = {each["endpoint_id"]: each["state"] for each in await deliveries(admin) if each["attempts"]}
    assert len(found) == 11
    assert broken not in found
    assert list(found.values()).count("delivered") == 6
    assert len(transactions) > 12, "each alone, where they broke together"
    transactions.clear()
    broken, posts = "", 24
    await happen()
    await telling.deliver_due()
    assert len(transactions) < 6


async def test_why_nothing_was_answered_is_told_in_words_of_our_own(
    endpoint: Endpoint, happen: Happen, receiver: Receiver, start: Start, admin: httpx.AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(dispatcher, "POST_SECONDS", 0.1)
    receiver.answers["/hangs"] = HANGS
    said = {(await endpoint("/hangs"))["id"]: "no answer in time"}
    for url, words in (
        ("https://inside.example/", "the name leads to an address that isn't public"),
        ("https://nowhere.example/", "nobody knows its name"),
        ("http://127.0.0.1:9/", "nothing takes connections there"),
    ):
        made = await admin.post("/v1/endpoints", json={"url": url, "types": ["*"]})
        said[made.json()["id"]] = words
    await happen()
    await start().deliver_due()
    found = await deliveries(admin)
    assert {each["endpoint_id"]: each["last_error"] for each in found} == said
    assert {each["last_status"] for each in found} == {None}


async def test_of_a_subject_what_is_due_is_told_in_order_and_one_at_a_time(
    endpoint: Endpoint, happen: Happen, receiver: Receiver, start: Start, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    its, subject = await endpoint("/its"), new_id()
    events = await happen(6, subject)
    refused = str(events[1])
    receiver.answers["/its"] = lambda post: 500 if post.id == refused and len(receiver.posts) < 5 else 200
    telling, lease = start(), store.lease

    async def slow_look(*given: Any) -> Any:
        found = await lease(*given)
        while telling._running:
            await asyncio.wait(telling._running)
        return found

    telling._places.quick.add(UUID(its["id"]))
    await telling.take_up()
    assert list(telling._places.taken.values()).count(UUID(its["id"])) == 1
    # What ends during a look leaves the next one to the look after it.
    monkeypatch.setattr(store, "lease", slow_look)
    await telling.deliver_due()
    assert [post.id for post in receiver.posts] == [str(each) for each in events], "what failed holds nothing back"
    clock.forward(seconds=6)
    await telling.deliver_due()
    assert receiver.posts[-1].id == refused
    assert len(receiver.posts) == 7


async def test_any_number_of_dispatchers_share_the_work_and_none_tells_what_another_has(
    endpoint: Endpoint, happen: Happen, receiver: Receiver, start: Start, admin: httpx.AsyncClient
) -> None:
    for path in ("/a", "/b", "/c"):
        await endpoint(path)
    await happen(30)
    shares = await asyncio.gather(*(start().deliver_due() for _ in range(4)))
    assert sum(each > 0 for each in shares) > 1
    assert len({(post.path, post.id) for post in receiver.posts}) == len(receiver.posts) == 90
    assert {each["attempts"] for each in await deliveries(admin, state="delivered")} == {1}


async def test_endpoints_that_nothing_is_due_to_are_not_looked_at(
    apps: dict[str, FastAPI], workspace: Workspace, endpoint: Endpoint, happen: Happen, stack: TestStack, clock: Clock
) -> None:
    await endpoint("/its")
    await happen()
    db = await asyncpg.connect(stack.admin_dsn)
    await db.execute(
        """INSERT INTO gateway.endpoint (workspace_id, id, url, description, types, parts, state, secret, created_at,
               created_by)
           SELECT $1, gen_random_uuid(), 'https://idle.example.com', '', '{none}', '{}', 'active', '', now(), ''
           FROM generate_series(1, 2000)""",
        workspace.id,
    )
    # Half of them are owed what is due in an hour.
    await db.execute(
        """INSERT INTO gateway.webhook_delivery (workspace_id, id, endpoint_id, happening_id, type, subject, position,
               state, attempts, due_at, created_at)
           SELECT h.workspace_id, gen_random_uuid(), e.id, h.id, h.type, h.subject, h.position, 'waiting', 1, $2, $3
           FROM gateway.happening h, LATERAL (
               SELECT id FROM gateway.endpoint WHERE workspace_id = $1 AND types = '{none}' LIMIT 1000) AS e
           WHERE h.workspace_id = $1 LIMIT 1000""",
        workspace.id, clock.now + timedelta(hours=1), clock.now,
    )  # fmt: skip
    explained = text(f"EXPLAIN (ANALYZE, FORMAT JSON) {store._LEASE.text}")
    async with apps["gateway"].state.database.worker() as session:
        await session.execute(store._ALONE)
        ((found,),) = await session.execute(explained, store._room(Places(), clock.now))
        await session.rollback()
    await db.execute("DELETE FROM gateway.endpoint WHERE workspace_id = $1 AND types = '{none}'", workspace.id)
    await db.close()
    (plan,) = found if isinstance(found, list) else json.loads(found)
    nodes = [plan["Plan"]]
    for node in nodes:
        nodes += node.get("Plans", [])
    leased = next(node for node in nodes if node["Node Type"] == "ModifyTable")
    assert leased["Actual Rows"] >= 1
    read = [node["Actual Rows"] * node["Actual Loops"] for node in nodes if node.get("Relation Name") == "endpoint"]
    assert 0 < max(read) < 500
    assert not [node for node in nodes if node["Node Type"] == "Seq Scan"]


async def test_what_a_process_that_died_had_under_way_is_told_again_under_the_same_id(
    endpoint: Endpoint, happen: Happen, receiver: Receiver, start: Start, admin: httpx.AsyncClient, clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    await endpoint("/its")
    (event,) = await happen()

    async def die(*_: Any) -> None:
        raise ConnectionError("the process is gone")

    with monkeypatch.context() as dying:
        dying.setattr(actions, "settle", die)
        assert await told(start(), receiver) == 1
    other = start()
    assert await told(other, receiver) == 0, "it may be under way yet"
    (delivery,) = await deliveries(admin)
    busy = await admin.post(f"/v1/deliveries/{delivery['id']}/replay")
    assert (busy.status_code, busy.json()["code"]) == (409, "under_way")
    assert store.LEASE.total_seconds() > dispatcher.POST_SECONDS
    clock.now += store.LEASE
    assert await told(other, receiver) == 1
    assert [post.id for post in receiver.posts] == [str(event)] * 2
    assert [each["state"] for each in await deliveries(admin)] == ["delivered"]


async def test_a_word_that_comes_after_the_lease_counts_for_nothing(
    apps: dict[str, FastAPI], workspace: Workspace, endpoint: Endpoint, happen: Happen, receiver: Receiver,
    start: Start, admin: httpx.AsyncClient, clock: Clock,
) -> None:  # fmt: skip
    await endpoint("/its")
    await happen()
    database: Database = apps["gateway"].state.database
    async with database.worker() as session:
        rows = [row for row in await store.lease(session, Places(), clock.now) if row.workspace_id == workspace.id]
    clock.now += store.LEASE
    await start().deliver_due()
    async with database.tenant(workspace.id) as session:
        await actions.settle(session, rows[0], None, "no answer in time", clock.now, 0.5)
    (delivery,) = await deliveries(admin)
    assert (delivery["state"], delivery["attempts"]) == ("delivered", 1)


@pytest.mark.parametrize("reason", ["failing", "gone"])
async def test_an_endpoint_that_wants_no_more_or_fails_for_days_is_paused_and_told_of(
    endpoint: Endpoint, happen: Happen, receiver: Receiver, start: Start, admin: httpx.AsyncClient, clock: Clock,
    deliver: Deliver, reason: str,
) -> None:  # fmt: skip
    lost, telling = await endpoint("/lost", "goals.*"), start()
    await endpoint("/watches", "gateway.endpoint.*")
    path = f"/v1/endpoints/{lost['id']}"
    receiver.answers["/lost"] = 410 if reason == "gone" else 500
    await happen()
    await telling.deliver_due()
    if reason == "failing":
        assert (await admin.get(path)).json()["state"] == "active"
        clock.now += FAILING_FOR
        await happen(3)
        await telling.deliver_due()
    found = (await admin.get(path)).json()
    assert (found["state"], found["pause_reason"], found["version"]) == ("paused", reason, 2)
    await deliver()
    await happen()
    await telling.deliver_due()
    (post,) = receiver.to("/watches")
    assert post.event["data"] == {"endpoint_id": lost["id"], "reason": reason}
    sent = len(receiver.to("/lost"))
    clock.forward(days=1)
    await telling.deliver_due()
    assert len(receiver.to("/lost")) == sent
    receiver.answers["/lost"] = 200
    assert (await admin.post(f"{path}/enable")).json()["failing_since"] is None
    await happen()
    await telling.deliver_due()
    assert len(receiver.to("/lost")) > sent


async def test_an_endpoint_is_paused_while_an_event_is_kept_for_it(
    apps: dict[str, FastAPI], workspace: Workspace, endpoint: Endpoint, happen: Happen, receiver: Receiver,
    start: Start, admin: httpx.AsyncClient, clock: Clock,
) -> None:  # fmt: skip
    lost = await endpoint("/lost")
    receiver.answers["/lost"] = 410
    await happen()
    another = Incoming(
        id=new_id(), source="/goals", type=TYPE, subject="x", time=clock.now, workspaceid=workspace.id, data={}
    )
    async with apps["gateway"].state.database.tenant(workspace.id) as session:
        await actions.hear(session, [another], clock.now)
        async with asyncio.timeout(5):
            await start().deliver_due()
            assert (await admin.get(f"/v1/endpoints/{lost['id']}")).json()["state"] == "paused"


async def test_a_workspace_that_is_suspended_tells_nobody(
    workspace: Workspace, endpoint: Endpoint, happen: Happen, receiver: Receiver, start: Start, stack: TestStack
) -> None:
    await endpoint("/its")
    await happen()
    db = await asyncpg.connect(stack.admin_dsn)
    state = "UPDATE gateway.workspace SET state = $2 WHERE workspace_id = $1"
    await db.execute(state, workspace.id, "suspended")
    await start().deliver_due()
    assert receiver.posts == []
    await db.execute(state, workspace.id, "active")
    await db.close()
    await start().deliver_due()
    assert len(receiver.posts) == 1


async def test_deliveries_are_forgotten_with_what_they_tell_of(
    apps: dict[str, FastAPI], endpoint: Endpoint, happen: Happen, receiver: Receiver, start: Start,
    admin: httpx.AsyncClient, clock: Clock,
) -> None:  # fmt: skip
    await endpoint("/its")
    await happen()
    await start().deliver_due()
    clock.now += KEPT - timedelta(days=1)
    await happen()
    clock.forward(days=2)
    await forget_happenings(apps["gateway"])
    assert [each["state"] for each in await deliveries(admin)] == ["waiting"]


async def test_a_receiver_that_is_busy_is_left_alone_for_as_long_as_it_asks_up_to_ten_hours(
    endpoint: Endpoint, happen: Happen, receiver: Receiver, start: Start, admin: httpx.AsyncClient, clock: Clock
) -> None:
    date = (clock.now + timedelta(hours=2)).strftime(HTTP_DATE)
    least: dict[str, timedelta] = {}
    for path, status, said, wait in (
        ("/seconds", 429, "3600", timedelta(hours=1)), ("/date", 503, date, timedelta(hours=2)),
        ("/soon", 503, "0", timedelta(seconds=4.5)), ("/never", 429, "9" * 5000, timedelta(hours=9)),
        ("/fails", 500, "3600", timedelta(seconds=4.5)), ("/odd", 503, "Mon, 99", timedelta(seconds=4.5)),
    ):  # fmt: skip
        receiver.answers[path], receiver.retry_after[path] = status, said
        least[(await endpoint(path))["id"]] = wait
    await happen()
    await start().deliver_due()
    for each in await deliveries(admin):
        wait = datetime.fromisoformat(each["due_at"]) - clock.now
        assert least[each["endpoint_id"]] - timedelta(seconds=1) <= wait <= least[each["endpoint_id"]] * 1.25


@given(st.integers(1, MOST_ATTEMPTS - 1), st.floats(0, 1), st.timedeltas(timedelta(0), timedelta(days=9000)))
def test_who_asks_to_be_left_alone_is_told_later_never_sooner_and_within_ten_hours(
    attempts: int, chance: float, asked: timedelta
) -> None:
    planned, wait = next_wait(attempts, chance), next_wait(attempts, chance, asked)
    assert planned is not None
    assert wait is not None
    assert planned <= wait <= max(planned, LONGEST_ASKED)
    assert wait >= min(asked, LONGEST_ASKED / (1 + JITTER))


@given(st.sampled_from([200, 429, 500, 503, 504]), st.text() | st.integers().map(str))
def test_nothing_that_a_receiver_says_of_when_to_come_back_breaks(status: int, said: str) -> None:
    found = asked_wait(status, said, datetime(2026, 6, 15, tzinfo=UTC))
    assert found is None or (status in BUSY and found >= timedelta(0))


@given(st.integers(1, MOST_ATTEMPTS), st.floats(0, 1))
def test_waits_grow_and_end(attempts: int, chance: float) -> None:
    wait = next_wait(attempts, chance)
    assert (wait is None) == (attempts == MOST_ATTEMPTS)
    if wait is not None:
        assert abs(wait / WAITS[attempts - 1] - 1) <= JITTER + 1e-6
    assert timedelta(hours=27) < sum(WAITS, timedelta(0)) < timedelta(hours=29)


ENDPOINTS = [UUID(int=number) for number in range(6)]


@given(st.lists(st.tuples(st.sampled_from(ENDPOINTS), st.booleans(), st.booleans())))
def test_whoever_is_slow_never_has_more_than_one_place_nor_all_of_them_more_than_half(
    steps: list[tuple[UUID, bool, bool]],
) -> None:
    """Each step takes a place for an endpoint if it may have one, or ends its oldest, quickly or not."""
    places, delivery = Places(most=6, each=3), 0
    for endpoint_id, begins, is_quick in steps:
        its = [each for each, whose in places.taken.items() if whose == endpoint_id]
        room = places.free if endpoint_id in places.quick else places.free_for_slow
        if begins and room and places.free_by_endpoint().get(endpoint_id, 1):
            delivery += 1
            places.take(UUID(int=delivery), endpoint_id)
            # Whoever turned out to be slow keeps what is under way.
            slow = [each for each in places.taken.values() if each not in places.quick]
            assert endpoint_id in places.quick or (not its and len(slow) <= 3)
        elif its and not begins:
            places.leave(its[0], QUICK_SECONDS / 2 if is_quick else QUICK_SECONDS * 2)
            assert (endpoint_id in places.quick) == is_quick
        taken = list(places.taken.values())
        assert len(taken) <= 6
        assert all(taken.count(each) <= 3 for each in ENDPOINTS)


def test_no_more_receivers_are_remembered_to_be_quick_than_a_look_can_ask_about() -> None:
    places, ids = Places(), [UUID(int=number) for number in range(5 * MOST_QUICK)]
    places.take(ids[0], ids[0])
    for each in ids[1:]:
        places.quick.add(ids[0])
        places.take(each, each)
        places.leave(each, 0)
        assert {ids[0], each} <= places.quick
        assert len(places.quick) <= MOST_QUICK


GUIDE = (Path(__file__).parents[2] / "docs" / "webhooks-out.md").read_text()


async def test_the_ten_lines_that_receivers_are_given_believe_what_is_signed_and_nothing_else(
    endpoint: Endpoint, happen: Happen, receiver: Receiver, start: Start, admin: httpx.AsyncClient, clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    its = await endpoint("/its")
    turned = (await admin.post(f"/v1/endpoints/{its['id']}/rotate", json={})).json()
    await happen()
    await start().deliver_due()
    (post,) = receiver.posts
    given: dict[str, Any] = {}
    exec(GUIDE.partition("```python\n")[2].partition("```")[0], given)
    verified: Callable[[str, dict[str, str], bytes], bool] = given["verified"]
    monkeypatch.setattr("time.time", clock.seconds)
    assert verified(its["secret"], post.headers, post.body)
    assert verified(turned["secret"], post.headers, post.body)
    assert not verified(its["secret"], post.headers, post.body + b" ")
    assert not verified(its["secret"], post.headers | {"webhook-id": str(new_id())}, post.body)
    assert not verified("whsec_AAAA", post.headers, post.body)
    clock.forward(minutes=6)
    assert not verified(its["secret"], post.headers, post.body)
