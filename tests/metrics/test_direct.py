"""What is answered past ASGI: only what is usual, and just as through it."""

import asyncio
import gzip
import json
import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NoReturn
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text

from chassis.direct import Direct, Say
from chassis.telemetry import log_format
from chassis.testing import Clock
from services.metrics.source.platforms.standard import Standard
from tests.chassis.test_serving import listening
from tests.metrics.conftest import Open, Play, Sender, rows, standard_headers
from tests.metrics.playing import JUNE, Sent
from tests.parts import Workspace

OPENED = {"type": "opened", "recipient": "ann@example.com", "message_id": "m-1"}


def opened(clock: Clock, number: int) -> dict[str, Any]:
    return {**OPENED, "occurred_at": clock.now.isoformat(), "message_id": f"m-{number}"}


def nobody_thought_of(*_: Any) -> NoReturn:
    raise RuntimeError("out of thin air")


@pytest.fixture
def taken(metrics_app: FastAPI) -> Iterator[list[bool]]:
    """Of each post that was offered, whether it was taken."""
    direct, found = metrics_app.state.direct, list[bool]()

    def take(scope: Mapping[str, Any], body: bytes, say: Say) -> bool:
        found.append(direct.take(scope, body, say))
        return found[-1]

    metrics_app.state.direct = Direct(direct.prefix, take)
    yield found
    metrics_app.state.direct = direct


async def test_a_post_is_answered_and_told_of_alike_either_way(
    standard: Sender, taken: list[bool], clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.handler.setFormatter(log_format("json"))
    with caplog.at_level(logging.INFO, "mops.http"):
        answers = [await standard.post([opened(clock, number), {"type": "nonsense"}]) for number in range(2)]
    assert taken == [False, True]
    assert [answer.json() for answer in answers] == [{"received": 1, "quarantined": 1}] * 2
    through, past = ({name: len(value) for name, value in answer.headers.items()} for answer in answers)
    assert through == past
    lines = [json.loads(line) for line in caplog.text.splitlines() if '"event": "request"' in line]
    assert [line["request_id"] for line in lines] == [answer.headers["x-request-id"] for answer in answers]
    told = [{name: line[name] for name in ("method", "route", "status", "level")} for line in lines]
    assert told[0] == told[1] == {"method": "POST", "route": "/v1/webhooks/{token}", "status": 200, "level": "info"}
    assert lines[1]["trace_id"] == lines[1]["request_id"]
    assert standard.path.rpartition("/")[2] not in caplog.text


async def test_the_caller_s_trace_and_id_go_along(
    standard: Sender, taken: list[bool], clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    await standard.post(opened(clock, 0))
    caplog.handler.setFormatter(log_format("json"))
    body, trace = json.dumps(opened(clock, 1)).encode(), "4bf92f3577b34da6a3ce929d0e0e4736"
    headers = {
        **standard.sign(body), "traceparent": f"00-{trace}-00f067aa0ba902b7-01", "x-request-id": "of-mine.7",
    }  # fmt: skip
    with caplog.at_level(logging.INFO, "mops.http"):
        answer = await standard.http.post(standard.path, content=body, headers=headers)
    assert taken == [False, True]
    assert answer.headers["x-request-id"] == "of-mine.7"
    assert f'"trace_id": "{trace}"' in caplog.text


async def test_what_is_not_usual_is_left_to_the_route(
    metrics: httpx.AsyncClient, standard: Sender, taken: list[bool], clock: Clock
) -> None:
    await standard.post(opened(clock, 0))
    body = json.dumps(opened(clock, 1)).encode()
    forged = {**standard.sign(body), "webhook-signature": "v1,AAAA"}
    assert (await standard.http.post(standard.path, content=body, headers=forged)).status_code == 403
    nul = await standard.http.post(f"{standard.path}?a=%00", content=body, headers=standard.sign(body))
    assert nul.status_code == 422
    assert (await standard.http.post(f"{standard.path}x", content=body)).status_code == 404
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Standard, "read", nobody_thought_of)
        assert (await standard.post_bytes(body)).status_code == 503
    assert (await standard.post_bytes(b"[]")).json() == {"received": 0, "quarantined": 0}
    large = json.dumps([opened(clock, number) for number in range(6000)]).encode()
    assert (await standard.post_bytes(large)).json()["received"] == 6000
    await metrics.post(f"/v1/sources/{standard.source_id}/pause")
    assert (await standard.post_bytes(body)).status_code == 503
    assert not any(taken)


async def test_a_secret_that_is_taken_away_is_good_for_nothing_at_once(
    metrics: httpx.AsyncClient, standard: Sender, taken: list[bool], clock: Clock
) -> None:
    await standard.tell(opened(clock, 0))
    await standard.tell(opened(clock, 1))
    other = "whsec_" + "QUJD" * 8
    rotate = {"credentials": {"signing_secret": other}, "keep_old_minutes": 0}
    assert (await metrics.post(f"/v1/sources/{standard.source_id}/rotate", json=rotate)).status_code == 200
    assert (await standard.post(opened(clock, 2))).status_code == 403
    body = json.dumps(opened(clock, 3)).encode()
    for _ in range(2):
        new = await standard.http.post(standard.path, content=body, headers=standard_headers(body, clock.now, other))
        assert new.status_code == 200
    assert taken == [False, True, False, True, True]


async def test_over_a_socket_each_post_is_durable_when_it_is_answered(
    metrics_app: FastAPI, open_standard: Open, taken: list[bool], workspace: Workspace, clock: Clock
) -> None:
    """Many at once over few connections, one behind the other before the first is answered."""
    standard = await open_standard()
    await standard.post(opened(clock, 0))

    def wire(number: int) -> bytes:
        body = json.dumps(opened(clock, number)).encode()
        lines = [f"POST {standard.path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in standard.sign(body).items()]
        return "\r\n".join([*lines, "", ""]).encode() + body

    async def ask(port: int, numbers: range) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"".join(map(wire, numbers)))
        for number in numbers:
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 OK\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            assert json.loads(await reader.readexactly(length)) == {"received": 1, "quarantined": 0}
            async with metrics_app.state.database.tenant(workspace.id) as session:
                found = await session.scalar(
                    text("SELECT count(*) FROM occurrence WHERE message_id = :id"), {"id": f"m-{number}"}
                )
            assert found == 1
        writer.close()

    async with listening(metrics_app) as port:
        await asyncio.gather(*(ask(port, range(start, start + 5)) for start in range(1, 31, 5)))
    assert taken.count(True) == 30


@asynccontextmanager
async def listening_with(app: FastAPI, **settings: Any) -> AsyncIterator[int]:
    """Behind a real socket, with other settings meanwhile."""
    before = app.state.settings
    app.state.settings = before.model_copy(update=settings)
    try:
        async with listening(app) as port:
            yield port
    finally:
        app.state.settings = before


@pytest.mark.parametrize(("name", "again"), [("brevo", 429), ("postmark", 503)])
@pytest.mark.parametrize("framing", ["Content-Length: 1000", "Transfer-Encoding: chunked"])
async def test_a_body_that_does_not_come_in_time_is_asked_for_again_and_its_connection_is_cut(
    account: Play, metrics_app: FastAPI, name: str, again: int, framing: str
) -> None:
    at = await account(name)
    async with listening_with(metrics_app, body_seconds=0.1) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        lines = [f"POST {urlsplit(at.url).path} HTTP/1.1", "Host: x", framing, "", ""]
        writer.write("\r\n".join(lines).encode())
        async with asyncio.timeout(10):
            answer = (await reader.read()).decode()  # until it is closed
        writer.close()
    head = answer.partition("\r\n\r\n")[0].lower().splitlines()
    assert head[0].startswith(f"http/1.1 {again} ")
    assert {"connection: close", "retry-after: 1"} <= set(head)


async def test_a_body_that_is_too_large_is_not_asked_for_again(account: Play, metrics_app: FastAPI) -> None:
    at = await account("brevo")
    async with listening_with(metrics_app, webhook_limit=10) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        lines = [
            f"POST {urlsplit(at.url).path} HTTP/1.1",
            "Host: x",
            "Transfer-Encoding: chunked",
            "",
            "b",
            "x" * 11,
            "",
        ]
        writer.write("\r\n".join(lines).encode())
        async with asyncio.timeout(10):
            assert (await reader.readline()).startswith(b"HTTP/1.1 413 ")
        writer.close()


@pytest.mark.parametrize("name", ["standard", "postmark", "mailchimp", "mailgun"])
async def test_what_is_packed_is_refused_and_nothing_is_kept_of_it(
    account: Play, metrics_app: FastAPI, workspace: Workspace, taken: list[bool], name: str
) -> None:
    """Nobody's address would be found in it to be erased."""
    at = await account(name)
    (payload,) = at.player.many([at.player.one("ann@example.com", JUNE, "m-1", "x")])
    sent = at.player.pack(payload, at.url, at.clock.now)
    assert (await at.send(sent)).status_code == 200
    before = await rows(metrics_app, workspace)
    for body in (gzip.compress(sent.body), sent.body):
        packed = at.player.sign(body, at.url, at.clock.now) if name == "standard" else Sent(sent.headers, body)
        for encoding in ("gzip", "GZIP, identity", "br"):
            answer = await at.send(packed.with_header("Content-Encoding", encoding))
            assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_content_encoding")
            assert answer.headers["accept-encoding"] == "identity"
    assert await rows(metrics_app, workspace) == before
    assert not any(taken)
    assert (await at.send(sent.with_header("Content-Encoding", "Identity"))).status_code == 200
