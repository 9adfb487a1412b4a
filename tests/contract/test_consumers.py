"""What the parts ask of each other is what the contracts offer: goals of metrics and budget, the gateway of all."""

import json
import re
from collections.abc import AsyncIterator, Iterator
from copy import copy
from datetime import date
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from graphql import GraphQLSchema

from chassis.testing import TestStack
from services.goals.upstream import Question, Upstream
from tests.contract.documents import wrong_answer, wrong_request
from tests.contract.filled import Filled
from tests.contract.graphs import plain_queries
from tests.contract.operations import Operation, operations
from tests.gateway.conftest import Ask, Counted

Two = tuple[Filled, Filled]


def asked_for(part: str, method: str, path: str) -> Operation | None:
    """The operation that a request is for."""
    for each in operations(part):
        if each.method == method and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", each.path), path):
            return each
    return None


def faults_of(part: str, method: str, path: str, query: str, body: bytes) -> list[str]:
    operation = asked_for(part, method, path)
    if operation is None:
        return [f"{part} has no {method} {path}"]
    found = wrong_request(operation, parse_qsl(query), json.loads(body) if body else None)
    return [f"{operation}: {each}" for each in found]


class Recording(httpx.AsyncBaseTransport):
    """Passes on what is asked, and holds question and answer to the contract."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self.asked: list[str] = []
        self.faults: list[str] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        part, path, body = request.url.host, request.url.path, await request.aread()
        self.faults += faults_of(part, request.method, path, request.url.query.decode(), body)
        answer = await self._http.send(request)
        operation = asked_for(part, request.method, path)
        if operation is not None:
            self.asked.append(operation.id)
            wrong = wrong_answer(operation, answer.status_code, answer.headers["content-type"], await answer.aread())
            self.faults += [f"{operation}: {wrong}"] if wrong else []
        return answer


@pytest.fixture
async def recording(apps: dict[str, FastAPI]) -> AsyncIterator[tuple[Upstream, Recording]]:
    state = apps["goals"].state
    transport = Recording(state.http)
    async with httpx.AsyncClient(transport=transport) as http:
        upstream = copy(state.upstream)
        upstream._http = http
        yield upstream, transport


async def test_goals_asks_what_metrics_and_budget_offer(two: Two, recording: tuple[Upstream, Recording]) -> None:
    upstream, transport = recording
    workspace, _ = two
    campaign = UUID(str(workspace.rows["campaign"][0]["id"]))
    definitions = await upstream.definitions(workspace.id, ["email.ctr", "no.such"])
    known, unknown = (
        Question(metric, date(2026, 1, 1), date(2026, 7, 1), (campaign,), "month")
        for metric in ("email.total_clicks", "no.such")
    )
    series = await upstream.series(workspace.id, [known, unknown])
    money = await upstream.money(workspace.id, [campaign])
    assert transport.faults == []
    assert set(transport.asked) == {"list_metrics", "query_series", "list_campaign_positions"}
    # What it makes of the answers is there, where the contract lets it be.
    assert (definitions["email.ctr"].unit, definitions["email.ctr"].adds_up) == ("percent", False)
    assert (len(series[known].points), len(series[unknown].points)) == (6, 0)
    assert series[known].watermark is not None
    assert campaign in money


def used_fields() -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """What goals' upstream.py reads of each answer: operation, schema, and fields that must always be there."""
    yield "metrics", "MetricRead", ("key", "version", "unit", "additive", "direction")
    yield "metrics", "SeriesAnswers", ("series",)
    yield "metrics", "SeriesPoint", ("start", "value", "denominator", "completeness")
    yield "budget", "PositionOfCampaign", ("campaign_id",)
    yield "budget", "Position", ("allotted", "available")


@pytest.mark.parametrize(("part", "schema", "names"), list(used_fields()))
def test_what_goals_reads_is_promised(part: str, schema: str, names: tuple[str, ...]) -> None:
    described = operations(part)[0].schemas[schema]
    assert set(names) <= set(described["properties"])
    assert set(names) <= set(described.get("required", ())) | {
        name for name in names if described["properties"][name].get("anyOf")
    }


async def test_the_gateway_asks_what_the_services_offer(
    stack: TestStack, two: Two, graph_of: Ask, apps: dict[str, FastAPI], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every list of the graph with every edge below it, over rows of every kind."""
    faults: list[str] = []
    schema: GraphQLSchema = apps["gateway"].state.graph
    asked: set[str] = set()
    pass_on = Counted.__call__

    async def held(self: Counted, scope: Any, receive: Any, send: Any) -> None:
        part = self.app.state.part  # type: ignore[attr-defined]
        body = b""
        if scope["method"] == "POST":
            message = await receive()
            body = message.get("body", b"")

            async def again() -> Any:
                return message

        faults.extend(faults_of(part, scope["method"], scope["path"], scope["query_string"].decode(), body))
        operation = asked_for(part, scope["method"], scope["path"])
        asked.add(operation.id if operation else scope["path"])
        await pass_on(self, scope, again if scope["method"] == "POST" else receive, send)

    graph = await graph_of(None)
    graph.http.headers.update(two[0].clients["gateway"].headers)
    monkeypatch.setattr(Counted, "__call__", held)
    for document in plain_queries(schema):
        answer = (await graph.http.post("/graphql", json={"query": document})).json()
        assert "data" in answer, answer
    assert faults == []
    assert {"list_goals", "list_campaign_positions", "query_series", "list_smart"} <= asked
