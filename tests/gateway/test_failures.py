"""What a service that is slow, dead or wrong costs: its own fields, with a code, within a second."""

import asyncio
import json
import logging
import time
from dataclasses import replace
from typing import Any

import pytest
from fastapi import FastAPI

from chassis.measures import Measures
from chassis.settings import Settings
from chassis.telemetry import Tracing
from gateway.breaker import FAILURES, PAUSE_SECONDS, Breaker, Open
from gateway.derive.contract import Contract, load
from gateway.failures import Away, GraphFailure, Refused
from gateway.graphql import OPENAPI
from gateway.upstream import Upstream, connected
from tests.gateway.conftest import Graph, bound, served, url_of
from tests.gateway.shelf import shelf
from tests.gateway.test_story import made
from tests.parts import Workspace

LISTED = "{ campaigns(first: 5) { nodes { slug } } again: campaigns(first: 6) { nodes { slug } } __typename }"
BOOKS = "{ shelves { nodes { name books { nodes { title } } } } }"


@pytest.mark.parametrize(("how", "code"), [("frozen", "UPSTREAM_TIMEOUT"), ("dead", "UPSTREAM_UNAVAILABLE")])
async def test_a_service_that_is_away_costs_its_fields_within_a_second(graph: Graph, how: str, code: str) -> None:
    assert Settings().read_seconds < 1
    with getattr(graph, how)("goals"):
        answer = await graph.ask(LISTED)
    assert answer["data"] == {"campaigns": None, "again": None, "__typename": "Query"}
    assert [each["extensions"] for each in answer["errors"]] == [{"code": code, "service": "goals"}] * 2
    assert sorted(each["path"] for each in answer["errors"]) == [["again"], ["campaigns"]]


async def test_an_answer_returns_as_soon_as_the_service_does(graph: Graph) -> None:
    await made(graph, "spring")
    with graph.frozen("goals"):
        await asyncio.gather(*(graph.ask(LISTED) for _ in range(20)))
    assert (await graph(LISTED))["campaigns"]["nodes"] == [{"slug": "spring"}]


async def test_a_verb_that_gets_no_answer_is_an_error_not_a_refusal(graph: Graph) -> None:
    with graph.dead("goals"):
        answer = await graph.ask(
            'mutation { createObjective(input: {name: "Grow", stakeholder: CEO}) { objective { id } errors { code } } }'
        )
    assert answer["data"] == {"createObjective": None}
    assert answer["errors"][0]["extensions"] == {"code": "UPSTREAM_UNAVAILABLE", "service": "goals"}


@pytest.mark.parametrize("id", ["", ".", "..", "a/b", "a\0"])
async def test_an_id_that_would_make_another_path_is_refused_by_its_name(graph: Graph, id: str) -> None:
    answer = await graph.ask(
        'mutation ($id: ID!) { updateLine(id: $id, input: {name: "x"}, ifMatch: "1") { errors { field code } } }', id=id
    )
    assert answer["data"] == {"updateLine": {"errors": [{"field": "id", "code": "invalid"}]}}


async def test_depth_doesnt_add_up_timeouts() -> None:
    async with shelf() as library:
        library.freeze_after = 1
        library.upstream.read_seconds = 1.5
        began = time.monotonic()
        answer = json.loads(await library.answer(library.executor.by_plan, BOOKS, {}))
        assert time.monotonic() - began < 2 * library.upstream.read_seconds
    nodes = answer["data"]["shelves"]["nodes"]
    assert [node["books"] for node in nodes] == [None] * len(nodes)
    assert {error["extensions"]["code"] for error in answer["errors"]} == {"UPSTREAM_TIMEOUT"}


async def test_one_failure_is_one_line_however_many_rows_it_costs(caplog: pytest.LogCaptureFixture) -> None:
    async with shelf() as library:
        library.broken = True
        with caplog.at_level(logging.WARNING):
            answer = json.loads(await library.answer(library.executor.by_plan, BOOKS, {}))
    assert len(answer["errors"]) == 3
    assert len([record for record in caplog.records if record.message == "upstream_failed"]) == 1


async def test_connections_survive_a_thousand_cancelled_calls(apps: dict[str, FastAPI]) -> None:
    operation = Contract(load(OPENAPI)).operations["list_campaigns"]
    settings = apps["gateway"].state.settings

    async def call(upstream: Upstream, seconds: float) -> Any:
        return await upstream.call(operation, {}, (), None, {}, asyncio.get_running_loop().time() + seconds)

    with bound() as silent:
        moved = settings.model_copy(update={"urls": {"goals": url_of(silent)}})
        async with connected(moved, Tracing(), Measures()) as upstream:
            for _ in range(10):
                calls = [asyncio.create_task(call(upstream, 60)) for _ in range(100)]
                for _ in range(5):
                    await asyncio.sleep(0)
                for each in calls:
                    each.cancel()
                assert all(
                    isinstance(each, asyncio.CancelledError)
                    for each in await asyncio.gather(*calls, return_exceptions=True)
                )
            async with served(apps["goals"]) as url:
                upstream._settings.urls["goals"] = url
                with pytest.raises(GraphFailure) as refused:
                    await call(upstream, 2)
    # A healthy answer: goals wants a token.
    assert refused.value.code == "UNAUTHENTICATED"


async def test_what_many_ask_for_at_once_is_asked_once(graph: Graph, graph_of: Any, workspace: Workspace) -> None:
    await made(graph, "spring")
    other = await graph_of(workspace, "stakeholder")
    app, _ = graph.counted["goals"]
    app.asked.clear()
    query = "{ campaigns { nodes { slug } } }"
    found = await asyncio.gather(*(each(query) for each in (graph, graph, graph, other, other)))
    assert found == [{"campaigns": {"nodes": [{"slug": "spring"}]}}] * 5
    # Once for each caller's token: what may be seen depends on it.
    assert app.asked == ["GET /v1/campaigns"] * 2
    assert graph.upstream._flights == {}


async def test_who_leaves_leaves_the_others_their_answer_and_the_last_one_ends_the_call() -> None:
    async with shelf() as library:
        library.hold = asyncio.Event()
        upstream, headers = library.upstream, {"authorization": "Bearer a"}
        operation = library.operation("list_shelves")
        deadline = asyncio.get_running_loop().time() + 30

        def ask() -> asyncio.Task[bytes]:
            return asyncio.ensure_future(upstream.read(operation, {}, (), None, headers, deadline))

        async def until(count: int) -> None:
            async with asyncio.timeout(10):
                while len(library.asked) < count:  # noqa: ASYNC110
                    await asyncio.sleep(0)

        first, second = ask(), ask()
        await until(1)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        library.hold.set()
        assert b"items" in await second
        assert len(library.asked) == 1
        library.hold.clear()
        left = [ask(), ask()]
        await until(2)
        for each in left:
            each.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        async with asyncio.timeout(10):
            while upstream._http.connector._acquired:  # noqa: ASYNC110
                await asyncio.sleep(0)
        assert upstream._flights == {}
        # After a change, nobody joins what was asked before it.
        before = ask()
        await until(3)
        upstream.forget("Bearer a")
        after = ask()
        await until(4)
        library.hold.set()
        assert await before == await after


async def test_a_read_is_tried_twice_where_the_connection_broke_and_a_verb_is_not() -> None:
    broken = 0

    async def hangs_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal broken
        broken += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async with shelf() as library, await asyncio.start_server(hangs_up, "127.0.0.1", 0) as server:
        url = library.upstream._settings.urls["shelf"]
        listed, queried = library.operation("list_shelves"), library.operation("query_loans")
        deadline = asyncio.get_running_loop().time() + 30
        library.upstream._settings.urls["shelf"] = url_of(server.sockets[0])
        upstream = library.upstream
        for ask, operation, tries in (
            (upstream.read, listed, 2),
            (upstream.read, queried, 2),
            (upstream.call, queried, 1),
            (upstream.call, replace(queried, method="DELETE"), 1),
        ):
            broken = 0
            with pytest.raises(Away):
                await ask(operation, {}, (), None, {}, deadline)
            assert broken == tries
            upstream._breakers.clear()
        upstream._settings.urls["shelf"] = url
        assert b"items" in await upstream.read(listed, {}, (), None, {}, deadline)


async def test_a_service_that_is_away_is_left_alone_but_for_a_try_a_second() -> None:
    now = [0.0]
    breaker = Breaker(lambda: now[0])

    def asks(problem: BaseException | None = None) -> bool:
        try:
            with breaker.asking():
                if problem:
                    raise problem
        except Open:
            return False
        except (Away, Refused, asyncio.CancelledError):
            pass
        return True

    away, refused = Away("UPSTREAM_TIMEOUT", ""), Refused("goals", 404, {})
    for ending in (refused, None):
        for _ in range(FAILURES - 1):
            assert asks(away)
        assert asks(ending)
    for _ in range(FAILURES - 1):
        assert asks(away)
    assert asks(asyncio.CancelledError())
    assert asks(away)
    now[0] += PAUSE_SECONDS
    assert asks()
    for _ in range(FAILURES):
        assert asks(away)
    assert not asks()
    now[0] += PAUSE_SECONDS
    assert asks(away)
    assert not asks()
    now[0] += PAUSE_SECONDS
    assert asks()
    assert asks()


async def test_an_open_circuit_answers_at_once_and_says_so(graph: Graph) -> None:
    with graph.dead("goals"):
        for number in range(FAILURES):
            await graph.ask("query($n: Int) { campaigns(first: $n) { nodes { slug } } }", n=number + 1)
        answer = await graph.ask(LISTED)
    said = {"code": "UPSTREAM_UNAVAILABLE", "service": "goals", "reason": "circuit_open"}
    assert [each["extensions"] for each in answer["errors"]] == [said] * 2
    ticks = graph.upstream.ticks
    graph.upstream.ticks = lambda: ticks() + PAUSE_SECONDS
    # One read is the try; once it went well, all go through.
    assert await graph("{ campaigns { nodes { slug } } }") == {"campaigns": {"nodes": []}}
    assert (await graph(LISTED))["campaigns"] == {"nodes": []}


async def test_nothing_internal_leaks(
    graph: Graph, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def breaks(*_: Any) -> Any:
        raise KeyError("a secret of the house")

    monkeypatch.setattr(Upstream, "_call", breaks)
    answer = await graph.ask(LISTED)
    assert [(each["message"], each["extensions"]) for each in answer["errors"]] == [
        ("internal error", {"code": "INTERNAL"})
    ] * 2
    assert "secret" not in str(answer)
    assert any(record.message == "graph_field_failed" for record in caplog.records)
