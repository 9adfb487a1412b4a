"""What a process tells of itself: traces, log lines that name them, figures with useful names."""

import asyncio
import logging
import subprocess
import sys
from collections import deque

import httpx
import pytest
from fastapi import FastAPI
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind
from starlette.types import Receive, Scope, Send

from chassis.settings import Settings
from chassis.telemetry import Tracing, log_format
from chassis.testing import Clock, TestStack
from tests.gateway.conftest import served
from tests.parts import Connect, Deliver

CAMPAIGN = {"name": "A", "slug": "a", "channels": ["email"], "flight": {"start": "2026-03-01", "end": "2026-04-01"}}
TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = {"traceparent": f"00-{TRACE}-{CALLER}-01"}


def of_trace(spans: deque[ReadableSpan], trace_id: str = TRACE) -> list[ReadableSpan]:
    return [span for span in spans if trace.format_trace_id(span.context.trace_id) == trace_id]


async def test_a_trace_goes_on_with_an_event_to_whoever_hears_of_it(
    goals: httpx.AsyncClient, deliver: Deliver, spans: deque[ReadableSpan]
) -> None:
    assert (await goals.post("/v1/campaigns", json=CAMPAIGN, headers=PARENT)).status_code == 201
    await deliver()
    heard = next(span for span in of_trace(spans) if span.name == "hear goals.campaign.created")
    told = next(span for span in of_trace(spans) if span.name == "POST /v1/campaigns")
    assert {told.context.trace_id, heard.context.trace_id} == {int(TRACE, 16)}
    # What brought it, with others of its batch, is a trace of its own.
    post = next(span for span in spans if span.context == heard.links[0].context)
    delivery = next(span for span in spans if post.parent and span.context.span_id == post.parent.span_id)
    assert (post.name, delivery.name) == ("POST /v1/inbox", "deliver to metrics")
    assert heard.kind is SpanKind.CONSUMER


async def test_a_statement_is_told_without_what_is_bound_to_it(
    goals: httpx.AsyncClient, spans: deque[ReadableSpan]
) -> None:
    await goals.post("/v1/campaigns", json={**CAMPAIGN, "name": "Zanzibar"}, headers=PARENT)
    inserted = next(span for span in of_trace(spans) if span.name == "INSERT")
    assert "$1" in str((inserted.attributes or {})["db.query.text"])
    assert not [span for span in spans if "Zanzibar" in str(span.attributes)]


async def test_what_a_reader_asks_is_told_too(goals: httpx.AsyncClient, spans: deque[ReadableSpan]) -> None:
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4799"
    read = await goals.get("/v1/campaigns", headers={"traceparent": f"00-{trace_id}-00f067aa0ba902b7-01"})
    assert read.status_code == 200
    told = [str((span.attributes or {}).get("db.query.text")) for span in of_trace(spans, trace_id)]
    assert any("FROM goals.campaign" in each for each in told)


@pytest.mark.parametrize("given", [{}, PARENT, {"traceparent": "nonsense"}, {"x-request-id": "of-mine.7"}])
async def test_a_log_line_names_the_trace_and_the_request(
    goals: httpx.AsyncClient, caplog: pytest.LogCaptureFixture, given: dict[str, str]
) -> None:
    caplog.handler.setFormatter(log_format("json"))
    with caplog.at_level(logging.INFO, "mops.http"):
        answer = await goals.get("/v1/campaigns", headers=given)
    # The issuer's keys may be asked for meanwhile.
    lines = [text for text in caplog.text.splitlines() if '"event": "request"' in text]
    (line,) = [text for text in lines if '"route": "/v1/campaigns"' in text]
    request_id = answer.headers["x-request-id"]
    assert f'"request_id": "{request_id}"' in line
    if given is PARENT:
        assert f'"trace_id": "{TRACE}"' in line
    # Whoever gives no id of their own gets the trace's, so that there is one to ask for.
    assert request_id == given.get("x-request-id", request_id)
    assert given.get("x-request-id") or f'"trace_id": "{request_id}"' in line


@pytest.mark.parametrize("given", ["a b", "x" * 101, "ü", '"}{'])
async def test_an_id_that_would_spoil_a_log_line_is_not_taken(goals: httpx.AsyncClient, given: str) -> None:
    answer = await goals.get("/v1/campaigns", headers={b"x-request-id": given.encode()})
    assert len(answer.headers["x-request-id"]) == 32


async def test_spans_reach_a_collector(stack: TestStack) -> None:
    taken: list[ExportTraceServiceRequest] = []

    async def collector(scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        assert scope["path"] == "/v1/traces"
        taken.append(ExportTraceServiceRequest.FromString(body))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    async with served(collector) as url:
        tracing = Tracing.to(Settings(part="goals", otlp_url=url))
        with tracing.span("outer"), tracing.span("inner"):
            pass
        await asyncio.to_thread(tracing.close)
    resources = [each for request in taken for each in request.resource_spans]
    names = {span.name for each in resources for scoped in each.scope_spans for span in scoped.spans}
    said = {a.key: a.value.string_value for each in resources for a in each.resource.attributes}
    assert (names, said["service.name"]) == ({"outer", "inner"}, "mops-goals")


def test_what_sends_spans_is_not_imported_while_nobody_takes_them() -> None:
    script = "import sys, services.goals.app, gateway.app; from chassis.telemetry import Tracing; " \
        "from chassis.settings import Settings; Tracing.to(Settings(part='goals')); " \
        "print([m for m in sys.modules if m.startswith(('opentelemetry.sdk', 'opentelemetry.exporter', 'google', " \
        "'requests'))])"  # fmt: skip
    environment = {"PATH": "/usr/bin:/bin"}
    assert subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True,
                          check=True).stdout.strip() == "[]"  # fmt: skip


def waiting(text: str) -> float:
    return float(text.partition('mops_outbox_waiting{subscriber="metrics"} ')[2].partition("\n")[0])


async def test_figures_have_useful_names_and_no_ids(
    apps: dict[str, FastAPI], goals: httpx.AsyncClient, connect: Connect, clock: Clock, deliver: Deliver
) -> None:
    await deliver()
    # What other tests left refused waits still.
    before = waiting((await connect("goals").get("/metrics")).text)
    made = (await goals.post("/v1/campaigns", json=CAMPAIGN)).json()
    await goals.get(f"/v1/campaigns/{made['id']}")
    clock.forward(seconds=90)
    text = (await connect("goals").get("/metrics")).text
    route = 'http_request_duration_seconds_count{method="GET",route="/v1/campaigns/{id}",status="200"}'
    assert route in text
    assert made["id"] not in text
    assert waiting(text) == before + 1
    assert 'mops_outbox_oldest_seconds{subscriber="metrics"} ' in text
    assert 'mops_outbox_failing{subscriber="metrics"} 0.0' in text
    assert "mops_database_pool_size 5.0" in text
    assert "mops_database_pool_in_use 0.0" in text
    await deliver()
    text = (await connect("metrics").get("/metrics")).text
    assert 'mops_inbox_events_total{outcome="taken",source="/goals"}' in text
    delivered = (await connect("goals").get("/metrics")).text
    assert 'mops_outbox_delivered_total{subscriber="metrics"}' in delivered
    assert waiting(delivered) <= before
