"""What those who listen are promised: all that they may hear, once, in order, for as long as their token lasts."""

import asyncio
import json
import random
import socket as sockets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import msgspec
import pytest
from fastapi import FastAPI
from sqlalchemy import text
from websockets.exceptions import ConnectionClosed

from chassis import serving
from chassis.fields import new_id
from chassis.inbox import Incoming
from chassis.paging import encode_cursor
from chassis.testing import Clock, TestStack
from gateway.allowance import Allowance
from gateway.answering import caller_of, ready
from gateway.asking import Asked
from gateway.edges import EDGES
from gateway.happening.actions import KEPT
from gateway.happening.catalog import happening_types
from gateway.happening.models import cursor_of
from gateway.happening.store import keep
from gateway.live import hearing, socket, store, stream
from gateway.live.rules import Wanted
from gateway.reads import Context
from gateway.trusted import Trusted
from tests.gateway.conftest import Ask
from tests.gateway.listening import Serving, another_gateway, serve, silent, streaming, talking
from tests.parts import Connect, Deliver, Workspace

EVENTS = "subscription($types: [String!], $subject: ID, $after: String) { happenings(types: $types, subject: $subject, after: $after) { id cursor type } }"  # noqa: E501
CAMPAIGN = {
    "name": "Spring", "slug": "spring", "channels": ["email"], "territories": ["DE"],
    "flight": {"start": "2026-01-01", "end": "2027-01-01"},
}  # fmt: skip


KILL_LISTENING = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()
"""


@pytest.fixture(scope="module")
async def again(apps: dict[str, FastAPI], stack: TestStack) -> AsyncIterator[FastAPI]:
    """A second gateway over the same database, which knows nothing of the first."""
    other = another_gateway()
    async with stack.started({"gateway": other}):
        yield other


@pytest.fixture
async def gateways(
    apps: dict[str, FastAPI], again: FastAPI, graph_of: Ask, workspace: Workspace
) -> AsyncIterator[tuple[Serving, Serving]]:
    """Two gateways behind sockets, as are the services."""
    again.state.upstream = (await graph_of(workspace)).upstream
    async with serve(apps["gateway"]) as first, serve(again) as second:
        yield first, second


@pytest.fixture
def gateway(gateways: tuple[Serving, Serving]) -> Serving:
    return gateways[0]


async def happen(
    apps: dict[str, FastAPI], workspace: UUID, clock: Clock, *types: str, subject: UUID | None = None,
    lingers: int = 0, **data: Any,
) -> list[str]:  # fmt: skip
    """Keeps events as the gateway's inbox does, in one transaction that ends after so many more statements; their
    ids."""
    told = [
        Incoming(
            id=new_id(), source="/x", type=each, subject=str(subject or new_id()), time=clock.now,
            workspaceid=workspace, data=data,
        )
        for each in types
    ]  # fmt: skip
    async with apps["gateway"].state.database.tenant(workspace) as session:
        await keep(session, told, clock.now)
        for _ in range(lingers):
            await session.execute(text("SELECT 1"))
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
    # What a connection that died wasn't told of is read when there is another one, not when somebody looks round.
    monkeypatch.setattr(hearing, "LOOK_SECONDS", 3600)
    rng, writers, each_writes = random.Random(seed), 4, 40
    kinds = list(happening_types())
    token = workspace.token("admin")
    admin, killing = await asyncpg.connect(stack.admin_dsn), asyncio.Lock()
    async with talking(gateways[0].address, token) as talk:
        start = talk.cursor

    async def write() -> None:
        left = each_writes
        while left:
            size = min(left, rng.randint(1, 5))
            await happen(apps, workspace.id, clock, *rng.choices(kinds, k=size), lingers=rng.choice((0, 0, 1, 20)))
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


async def test_a_cursor_that_is_ahead_of_this_process_is_caught_up_with_first(
    apps: dict[str, FastAPI], workspace: Workspace, clock: Clock
) -> None:
    state = apps["gateway"].state
    late = hearing.Hearing(state.database, "", clock, state.measures)
    late._tasks = [asyncio.create_task(asyncio.sleep(0))]  # so nothing is read by itself
    principal = await state.verifier.verify(workspace.token("admin"))
    async with late.guest(principal) as guest:
        await happen(apps, workspace.id, clock, "goals.goal.created", "goals.goal.changed")
        async with state.database.reading(workspace.id) as reader:
            known = await store.heard(reader, 0)
        next_id = (await happen(apps, workspace.id, clock, "goals.goal.missed"))[0]
        heard = late.hear(guest, Wanted(frozenset({"goals"})), (known[-1].position, clock.now))
        told = asyncio.ensure_future(anext(heard))
        while not guest.room.listeners:  # noqa: ASYNC110  # it joins by itself
            await asyncio.sleep(0)
        async with state.database.reading(workspace.id) as reader:
            late._hand_out(guest.room, await store.heard(reader, 0))
        assert (await told).row["id"] == next_id
        await heard.aclose()
    await late.stop()


async def test_nobody_hears_of_other_workspaces_nor_of_parts_that_they_may_not_read(
    apps: dict[str, FastAPI], gateway: Serving, workspace: Workspace, other_workspace: Workspace, clock: Clock
) -> None:
    """Replayed and live, on sockets and in streams. What comes last is heard by all: nothing is still to come."""
    kinds = [*sorted(happening_types()), "goals.goal.created"]
    tokens = {
        "all": workspace.token("admin"), "other": other_workspace.token("admin"),
        "some": workspace.token("admin", scopes=["workspace:read", "goals:read"]),
    }  # fmt: skip
    heard: dict[str, list[str]] = {name: [] for name in tokens}
    wanted: dict[str, list[str]] = {name: [] for name in tokens}

    async def happen_in_both() -> None:
        mine = await happen(apps, workspace.id, clock, *kinds)
        wanted["all"] += mine
        wanted["some"] += [
            each for each, kind in zip(mine, kinds, strict=True) if kind.startswith(("goals.", "gateway."))
        ]
        wanted["other"] += await happen(apps, other_workspace.id, clock, *kinds)

    zero = cursor_of(0, clock.now)
    await happen_in_both()
    async with AsyncExitStack() as opened:
        talks, streams = {}, {}
        for name, token in tokens.items():
            talks[name] = await opened.enter_async_context(talking(gateway.address, token))
            await talks[name].subscribe(EVENTS, after=zero)
            streams[name] = await opened.enter_async_context(streaming(gateway.url, token, EVENTS, after=zero))
            await streams[name].next()
        await happen_in_both()
        for name in tokens:
            heard[name] = [(await talks[name].told())["happenings"]["id"] for _ in wanted[name]]
            assert [(await streams[name].told())["happenings"]["id"] for _ in wanted[name]] == heard[name]
    assert heard == wanted


REFUSED = (
    ({"types": ["budget.request.decided"]}, "FORBIDDEN"), ({"types": ["goals.*", "budget.line.*"]}, "FORBIDDEN"),
    ({"types": ["goals.campaign.exploded"]}, "BAD_USER_INPUT"), ({"types": ["*"]}, "BAD_USER_INPUT"),
    ({"after": "nonsense"}, "BAD_USER_INPUT"),
    ({"after": encode_cursor("happening", -(10**30), 1)}, "BAD_USER_INPUT"),
    ({"after": encode_cursor("happening", 1, 10**30)}, "BAD_USER_INPUT"),
    ({"types": "goals.*", "subject": {}}, "BAD_USER_INPUT"), ({"subject": "spring"}, "BAD_USER_INPUT"),
)  # fmt: skip


async def test_what_cannot_be_heard_is_refused_with_a_code_and_the_socket_goes_on(
    apps: dict[str, FastAPI], gateway: Serving, workspace: Workspace, clock: Clock
) -> None:
    token = workspace.token("admin", scopes=["workspace:read", "goals:read"])
    old = cursor_of(1, clock.now - KEPT)
    campaign, other = new_id(), new_id()
    async with talking(gateway.address, token) as talk:
        for variables, code in (*REFUSED, ({"after": old}, "CURSOR_TOO_OLD")):
            await talk.subscribe(EVENTS, **variables)
            assert await talk.refused() == code, variables
        await talk.subscribe("subscription { happenings { id } again: happenings { id } }")
        assert await talk.refused() == "GRAPHQL_VALIDATION_FAILED"
        await talk.subscribe("subscription($no: Boolean = false) { happenings @include(if: $no) { id } }")
        assert await talk.refused() in ("GRAPHQL_VALIDATION_FAILED", "BAD_USER_INPUT")
        # Nor is told what a value may have meant, or each one that is wrong.
        narrowed = "subscription($s: [GoalState!]) { happenings { campaign { goals(state: $s) { nodes { id } } } } }"
        await talk.subscribe(narrowed, s=["ACTIV"] * 100)
        said = await talk.next()
        assert (said["type"], "Did you mean" in str(said)) == ("error", False)
        assert len(said["payload"]) < 10
        await talk.subscribe(EVENTS, types=["goals.goal.*"], subject=str(campaign).upper(), after=talk.cursor)
        for subject in (other, campaign):
            for kind in ("goals.campaign.created", "goals.goal.created"):
                last = await happen(apps, workspace.id, clock, kind, subject=subject)
        assert (await talk.told())["happenings"]["id"] == last[0]
    async with talking(gateway.address, workspace.token("admin", scopes=["goals:read"])) as talk:
        await talk.subscribe(EVENTS)
        assert await talk.refused() == "FORBIDDEN"


async def test_the_limits_of_queries_hold_on_sockets_and_in_streams(
    apps: dict[str, FastAPI], gateway: Serving, workspace: Workspace, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = apps["gateway"].state
    token = workspace.token("admin")
    hostile = {
        "{ __schema { types { name } } }": "GRAPHQL_VALIDATION_FAILED",
        "{ campaigns(first: 200) { nodes { goals(first: 200) { nodes { id } } } } }": "QUERY_TOO_LARGE",
        f"subscription {{ happenings {'{ campaign { goals { nodes ' * 7}{{ id }}{' } } }' * 7} }}": "QUERY_TOO_DEEP",
        "subscription { happenings { id": "GRAPHQL_PARSE_FAILED",
        "subscription { happenings { id } } #" + "x" * 64_000: "QUERY_TOO_LARGE",
    }  # fmt: skip
    async with talking(gateway.address, token) as talk:
        for query, code in hostile.items():
            await talk.subscribe(query)
            assert await talk.refused() == code, query[:80]
            if len(query) < 64_000:  # as a body it is refused before it is read
                async with streaming(gateway.url, token, query) as events:
                    await events.next()
                    assert await events.refused() == code, query[:80]
                    assert await events.next() == {"event": "complete", "data": ""}
        # An answer to what happens costs what a query would; who has used up all waits for it.
        now = 0.0
        monkeypatch.setitem(state._state, "allowance", Allowance(60, lambda: now))
        await talk.subscribe("subscription { happenings { id campaign { goals(first: 50) { nodes { id } } } } }")
        await happen(apps, workspace.id, clock, "goals.goal.created")
        await talk.subscribe("{ campaigns(first: 50) { nodes { id } } }")
        assert await talk.refused() == "COST_EXHAUSTED"
        now = 60.0
        await talk.told()
        monkeypatch.setitem(state._state, "trusted", Trusted({"listed": EVENTS}, only=True))
        await talk.subscribe(EVENTS + " ")
        assert await talk.refused() == "UNTRUSTED_DOCUMENT"
        monkeypatch.setitem(state._state, "allowance", Allowance(1_000_000))
        monkeypatch.setattr(socket, "MOST_OPERATIONS", 3)
        for number in range(3):
            await talk.send(id=f"many{number}", type="subscribe", payload={"documentId": "listed"})
        assert await talk.refused() == "TOO_MANY_OPERATIONS"
        monkeypatch.setattr(hearing, "MOST_GUESTS", 1)
        async with silent(gateway.address) as third:
            await third.send(type="connection_init", payload={"authorization": f"Bearer {token}"})
            assert await third.closed() == 1013


VIOLATIONS: tuple[tuple[int, tuple[Any, ...]], ...] = (
    (4400, ("no JSON",)), (4400, (b"bytes",)), (4400, ("[]",)), (4400, ({"type": 1},)), (4400, ({"type": "next"},)),
    (4401, ({"id": "1", "type": "subscribe", "payload": {"query": "{ __typename }"}},)),
    (4403, ({"type": "connection_init"},)), (4403, ({"type": "connection_init", "payload": {"authorization": "x"}},)),
    (4400, ({"type": "connection_init", "payload": 1},)), (4429, (..., {"type": "connection_init"})),
    (4400, (..., {"type": "subscribe", "payload": {"query": "{ __typename }"}})),
    (4400, (..., {"id": "1", "type": "subscribe", "payload": "x"})),
    (4400, (..., {"id": "", "type": "complete"})), (4400, (..., {"type": "connection_ack"})),
    (4400, ({"type": "é" * 200},)), (4400, (..., {"type": "é" * 200})),
    (4409, (..., *({"id": "é" * 200, "type": "subscribe", "payload": {"query": EVENTS}},) * 2)),
    (4409, (..., *({"id": "1", "type": "subscribe", "payload": {"query": EVENTS}},) * 2)), (1009, (..., "x" * 200_000)),
)  # fmt: skip


async def test_who_breaks_the_protocol_is_closed_with_its_code(
    gateway: Serving, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = f"Bearer {workspace.token('admin')}"
    for code, messages in VIOLATIONS:
        async with silent(gateway.address) as talk:
            for each in messages:
                said = {"type": "connection_init", "payload": {"authorization": token}} if each is ... else each
                await talk.socket.send(said if isinstance(said, str | bytes) else json.dumps(said))
            assert await talk.closed() == code, messages
    async with silent(gateway.address, subprotocols=["graphql-ws"]) as talk:
        assert await talk.closed() == 4406
    monkeypatch.setattr(socket, "INIT_SECONDS", 0.05)
    async with silent(gateway.address) as talk:
        assert await talk.closed() == 4408
    monkeypatch.setattr(socket, "INIT_SECONDS", 20)
    # By the header as well; pings are answered at any time, and an id is free once its operation ended.
    async with silent(gateway.address, additional_headers={"Authorization": token}) as talk:
        await talk.send(type="ping", payload={"a": 1})
        assert await talk.next() == {"type": "pong", "payload": {"a": 1}}
        await talk.send(type="connection_init")
        assert (await talk.next())["type"] == "connection_ack"
        await talk.send(type="ping")
        await talk.send(type="pong")
        assert await talk.next() == {"type": "pong"}
        await talk.send(id="1", type="subscribe", payload={"query": EVENTS})
        await talk.send(id="1", type="complete")
        await talk.send(id="unknown", type="complete")
        for _ in range(2):
            await talk.send(id="1", type="subscribe", payload={"query": "{ __typename }"})
            assert await talk.told() == {"__typename": "Query"}
            assert await talk.next() == {"id": "1", "type": "complete"}


async def test_who_asks_and_never_reads_is_heard_no_further(
    apps: dict[str, FastAPI], workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "MOST_OPERATIONS", 3)
    said = [{"type": "connection_init", "payload": {"authorization": f"Bearer {workspace.token('admin')}"}}]
    said += [{"type": "subscribe", "id": str(number), "payload": {"query": "{"}} for number in range(100)]
    messages = [{"type": "websocket.receive", "text": json.dumps(each)} for each in said]
    coming = iter([{"type": "websocket.connect"}, *messages])
    heard, read = 0, asyncio.Event()

    async def receive() -> Any:
        nonlocal heard
        await asyncio.sleep(0)
        heard += 1
        return next(coming, {"type": "websocket.disconnect", "code": 1000})

    async def send(message: Any) -> None:
        if "connection_ack" not in message.get("text", "connection_ack"):
            await read.wait()

    scope = {
        "type": "websocket", "path": "/graphql", "raw_path": b"/graphql", "query_string": b"", "headers": [],
        "subprotocols": ["graphql-transport-ws"], "scheme": "ws", "root_path": "", "state": {},
    }  # fmt: skip
    talking = asyncio.create_task(apps["gateway"](scope, receive, send))
    before = -1
    while heard != before or heard < 9:
        before = heard
        for _ in range(100):
            await asyncio.sleep(0)
    assert heard == 9  # the connection, the first message, and twice three and one that asks
    read.set()
    await talking
    assert heard == 103


async def test_a_token_is_passed_on_without_what_no_header_can_hold(
    apps: dict[str, FastAPI], workspace: Workspace
) -> None:
    token = workspace.token("admin")
    caller = await caller_of(apps["gateway"].state, f"bearer  {token}\r\n")
    assert caller.authorization == f"Bearer {token}"


async def test_hearing_ends_with_the_token_and_with_the_workspace(
    apps: dict[str, FastAPI], gateway: Serving, workspace: Workspace, other_workspace: Workspace, clock: Clock,
    stack: TestStack,
) -> None:  # fmt: skip
    live = apps["gateway"].state.hearing
    short, long = (workspace.token("admin", lifetime=timedelta(minutes=each)) for each in (5, 50))
    theirs = other_workspace.token("admin", lifetime=timedelta(minutes=50))
    async with (
        talking(gateway.address, short) as first, talking(gateway.address, long) as second,
        streaming(gateway.url, short, EVENTS, types=["goals.goal.missed"]) as events,
        talking(gateway.address, theirs) as suspended,
    ):  # fmt: skip
        await events.next()
        for talk in (first, second):
            await talk.subscribe(EVENTS, after=talk.cursor)
        clock.forward(minutes=5)
        # What happens then isn't told any more, before anybody looks round as well.
        ids = await happen(apps, workspace.id, clock, "goals.goal.created")
        assert await first.closed() == 4403
        await live.look()
        assert await events.refused() == "UNAUTHENTICATED"
        assert await events.next() == {"event": "complete", "data": ""}
        assert (await second.told())["happenings"]["id"] == ids[0]
        admin = await asyncpg.connect(stack.admin_dsn)
        await admin.execute(
            "UPDATE gateway.workspace SET state = 'suspended' WHERE workspace_id = $1", other_workspace.id
        )
        await admin.close()
        await live.look()
        assert await suspended.closed() == 4403
        clock.forward(minutes=45)
        await second.subscribe("{ workspace { name } }")
        assert await second.closed() == 4403


async def test_a_slow_reader_is_sent_away_alone_and_goes_on_where_it_was(
    apps: dict[str, FastAPI], workspace: Workspace, clock: Clock, graph_of: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    await graph_of(workspace)
    monkeypatch.setattr(hearing, "MOST_WAITING", 8)
    token, number = workspace.token("admin"), 60
    query = "subscription($after: String) { happenings(after: $after) { id cursor data } }"
    async with serve(apps["gateway"], buffer=4096) as gateway:
        small = {"max_queue": 1, "sock": _small(gateway)}
        async with talking(gateway.address, token) as quick, talking(gateway.address, token, **small) as slow:
            for talk in (quick, slow):
                await talk.subscribe(query, after=talk.cursor)
            wanted, quickly = list[str](), list[str]()
            for _ in range(number):
                wanted += await happen(apps, workspace.id, clock, "goals.goal.created", words="x" * 60_000)
                quickly.append((await quick.told())["happenings"]["id"])
            assert quickly == wanted
            slowly, after = list[str](), slow.cursor
            try:
                while True:
                    told = (await slow.told())["happenings"]
                    slowly.append(told["id"])
                    after = told["cursor"]
            except ConnectionClosed as end:
                assert end.rcvd is not None  # noqa: PT017
                assert end.rcvd.code == 4508  # noqa: PT017
        assert len(slowly) < number
        async with talking(gateway.address, token) as back:
            await back.subscribe(query, after=after)
            slowly += [(await back.told())["happenings"]["id"] for _ in range(number - len(slowly))]
    assert slowly == wanted


def _small(gateway: Serving) -> sockets.socket:
    """A socket for which the system takes in little."""
    made = sockets.socket()
    made.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
    made.connect(("127.0.0.1", int(gateway.address.rpartition(":")[2])))
    return made


async def test_a_stream_goes_on_after_the_last_id_and_stays_open_when_nothing_happens(
    apps: dict[str, FastAPI], gateway: Serving, workspace: Workspace, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = workspace.token("admin")
    async with streaming(gateway.url, token, EVENTS) as events:
        start = (await events.next())["id"]
    ids = await happen(apps, workspace.id, clock, *["goals.goal.created"] * 3)
    async with streaming(gateway.url, token, EVENTS, {"Last-Event-ID": start}, after="nonsense") as events:
        await events.next()
        blocks = [await events.next() for _ in ids]
    assert [json.loads(each["data"])["data"]["happenings"]["id"] for each in blocks] == ids
    with monkeypatch.context() as patched:
        patched.setattr(stream, "KEEP_ALIVE_SECONDS", 0.05)
        async with streaming(gateway.url, token, EVENTS) as events:
            await events.next()
            assert await events.next() == {"": ""}
    async with streaming(gateway.url, token, "{ workspace { name } }") as events:
        await events.next()
        assert await events.told() == {"workspace": {"name": "Test"}}
        assert await events.next() == {"event": "complete", "data": ""}
    async with httpx.AsyncClient(trust_env=False, headers={"Authorization": f"Bearer {token}"}) as http:
        asked = {"query": "subscription { happenings { id } }"}
        answer = await http.post(gateway.url, json=asked)
        assert (answer.status_code, answer.json()["errors"][0]["extensions"]["code"]) == (406, "NOT_ACCEPTABLE")
        no_token = {"Authorization": "", "Accept": "text/event-stream"}
        assert (await http.post(gateway.url, json=asked, headers=no_token)).status_code == 401
        verb = {"query": 'mutation { archiveCampaign(id: "x") { errors { code } } }'}
        by_link = await http.get(gateway.url, params=verb, headers={"Accept": "text/event-stream"})
        assert "METHOD_NOT_ALLOWED" in by_link.text


async def test_a_process_that_ends_sends_all_away_at_once(
    apps: dict[str, FastAPI], workspace: Workspace, graph_of: Ask
) -> None:
    await graph_of(workspace)
    token = workspace.token("admin")
    measures = apps["gateway"].state.measures
    async with (
        serve(apps["gateway"]) as gateway,
        talking(gateway.address, token) as talk,
        streaming(gateway.url, token, EVENTS) as events,
    ):
        await events.next()
        await talk.subscribe(EVENTS)
        await talk.subscribe("{ __typename }")
        await talk.told()
        figures = measures.exposition(apps["gateway"].state.database).decode()
        assert "mops_live_subscriptions 2.0" in figures
        async with asyncio.timeout(serving.FINISH_SECONDS):
            await gateway.stop()
            assert await talk.closed() == 1012
            assert await events.refused() == "GOING_AWAY"
            assert await events.next() == {"event": "end"}
    assert "mops_live_subscriptions 0.0" in measures.exposition(apps["gateway"].state.database).decode()


async def test_both_ways_to_execute_answer_alike(
    apps: dict[str, FastAPI], graph_of: Ask, workspace: Workspace, goals: httpx.AsyncClient
) -> None:
    upstream = (await graph_of(workspace)).upstream
    state, authorization = apps["gateway"].state, workspace.headers()["Authorization"]
    campaign = (await goals.post("/v1/campaigns", json=CAMPAIGN)).json()["id"]
    query = """subscription { told: happenings { id cursor occurredAt data subject campaign { id name state }
        goal { id } campaigns(first: 1) { nodes { slug } pageInfo { hasNextPage } } ...more } }
        fragment more on Happening { type part again: campaign { slug } __typename }"""
    what = ready(state, Asked(query, None, {}, None))
    for data in ({"campaign_id": campaign}, {"campaign_ids": [campaign, str(new_id())]}, {"campaign_id": None}, {}):
        row = {
            "id": str(new_id()), "type": "goals.goal.created", "part": "goals", "subject": "x", "data": data,
            "occurred_at": "2026-06-15T12:00:00Z", "cursor": "x",
        }  # fmt: skip
        answers = [
            await way(what.document, {}, what.operation, Context(upstream, {"authorization": authorization}), row)
            for way in (state.executor.by_plan, state.executor.by_fields)
        ]
        assert all(each is not None and not each.errors for each in answers)
        planned, by_fields = (msgspec.json.encode(each.sent("")) for each in answers)
        assert planned == by_fields


def test_every_id_that_an_event_says_leads_somewhere() -> None:
    said = {name for each in happening_types().values() for name in each.data_schema.get("properties", {})}
    ids = {name for name in said if name.endswith(("_id", "_ids"))}
    edges = [each for each in EDGES if each.name.startswith("Happening.")]
    led = {str(getattr(each, "id", None) or getattr(each, "ids", None)).partition(".")[2] for each in edges}
    assert ids - led == {
        "period_id",  # periods are read by their dates
        "from_line_id", "to_line_id",  # by way of the transfer
    }  # fmt: skip
