"""What a service that is slow, dead or wrong costs: its own fields, with a code, within a second."""

import asyncio
import json
import logging
import time
from typing import Any

import pytest
from fastapi import FastAPI

from chassis.measures import Measures
from chassis.settings import Settings
from chassis.telemetry import Tracing
from gateway.derive.contract import Contract, load
from gateway.failures import GraphFailure
from gateway.graphql import OPENAPI
from gateway.upstream import Upstream, connected
from tests.gateway.conftest import Graph, bound, served, url_of
from tests.gateway.shelf import shelf
from tests.gateway.test_story import made

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


@pytest.mark.parametrize("id", ["", ".", "..", "a/b"])
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


async def test_nothing_internal_leaks(
    graph: Graph, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def breaks(*_: Any) -> Any:
        raise KeyError("a secret of the house")

    monkeypatch.setattr(Upstream, "call", breaks)
    answer = await graph.ask(LISTED)
    assert [(each["message"], each["extensions"]) for each in answer["errors"]] == [
        ("internal error", {"code": "INTERNAL"})
    ] * 2
    assert "secret" not in str(answer)
    assert any(record.message == "graph_field_failed" for record in caplog.records)
