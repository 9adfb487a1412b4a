"""What a connection may cost: a head has a size and a time, a body a pace, and neither holds what others need."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from starlette.exceptions import HTTPException

from chassis import serving
from chassis.db import Database
from chassis.direct import Direct, Say
from chassis.edge import limited
from tests.gateway.conftest import Quiet, bound
from tests.parts import Workspace

# Short enough for a test, and far longer than anything here takes that isn't meant to be cut.
PATIENCE = 1.0


@asynccontextmanager
async def listening(app: FastAPI) -> AsyncIterator[int]:
    with bound() as sock:
        config = serving.served(app)
        config.lifespan, config.loop = "off", "none"
        server = Quiet(config)
        running = asyncio.create_task(server.serve(sockets=[sock]))
        try:
            yield sock.getsockname()[1]
        finally:
            server.should_exit = True
            await running


@pytest.fixture
async def port(apps: dict[str, FastAPI], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    """Goals behind a real socket, with little patience."""
    state = apps["goals"].state
    monkeypatch.setattr(serving, "HEAD_SECONDS", PATIENCE)
    patient = state.settings
    state.settings = patient.model_copy(update={"body_seconds": PATIENCE, "body_rate": 1000})
    async with listening(apps["goals"]) as number:
        yield number
    state.settings = patient


def head(workspace: Workspace, length: int, *more: str) -> bytes:
    token = workspace.headers()["Authorization"]
    lines = ["POST /v1/objectives HTTP/1.1", "Host: x", "Content-Type: application/json", f"Authorization: {token}",
             f"Content-Length: {length}", *more, "", ""]  # fmt: skip
    return "\r\n".join(lines).encode()


async def said_until_closed(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(20 * PATIENCE):
        return await reader.read()


@pytest.mark.parametrize("more", [[], ["Idempotency-Key: k"]])
async def test_a_body_that_stalls_is_answered_and_cut_and_holds_no_connection_of_the_database(
    port: int, apps: dict[str, FastAPI], workspace: Workspace, more: list[str]
) -> None:
    database: Database = apps["goals"].state.database
    taken: list[int] = []

    async def watch() -> None:
        while True:
            taken.append(database.engine.pool.checkedout())  # type: ignore[attr-defined]
            await asyncio.sleep(0.01)

    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    watching = asyncio.create_task(watch())
    writer.write(head(workspace, 1000, *more) + b'{"name": ')
    answer = await said_until_closed(reader)
    watching.cancel()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"application/problem+json" in answer
    assert len(taken) > 10
    assert max(taken) == 0
    writer.close()


async def test_a_verb_whose_body_stalls_holds_no_connection_either(
    port: int, apps: dict[str, FastAPI], workspace: Workspace
) -> None:
    """Nothing reads a verb's body but the look for its key, which must not do so within the transaction."""
    database: Database = apps["goals"].state.database
    verb = head(workspace, 1000, "Idempotency-Key: k").replace(
        b"/v1/objectives", b"/v1/goals/00000000-0000-7000-8000-000000000000/activate"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(verb)
    reading = asyncio.create_task(said_until_closed(reader))
    taken = 0
    while not reading.done():
        taken = max(taken, database.engine.pool.checkedout())  # type: ignore[attr-defined]
        await asyncio.sleep(0.01)
    assert (await reading).startswith(b"HTTP/1.1 408 ")
    assert taken == 0
    writer.close()


async def test_a_head_that_is_never_finished_is_cut(port: int) -> None:
    for begun in (b"", b"POST /v1/objectives HTTP/1.1\r\nHost: x\r\nX-Slow: "):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(begun)
        assert await said_until_closed(reader) == b""
        writer.close()


async def test_a_head_has_a_size(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /v1/objectives HTTP/1.1\r\nHost: x\r\nX-Large: ")
    for _ in range(40):
        writer.write(b"x" * 4096)
    with suppress(ConnectionResetError):  # the answer crosses what is still being sent
        assert (await said_until_closed(reader)).startswith(b"HTTP/1.1 431 ")
    writer.close()


async def test_what_trickles_in_behind_an_answer_is_cut(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /v1/objectives HTTP/1.1\r\nHost: x\r\nContent-Length: 10000\r\n\r\n{")
    with suppress(ConnectionError):
        async with asyncio.timeout(20 * PATIENCE):
            assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 ")
            while not reader.at_eof():
                writer.write(b"x")
                await reader.read(65536)
    writer.close()


async def test_a_body_that_was_answered_before_its_end_is_not_taken_for_the_next_head(
    port: int, workspace: Workspace
) -> None:
    """As when the database is away: the answer comes at once, and the client sends on what it had begun."""
    body = b"x" * (3 * serving.HEAD_BYTES)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode())
    async with asyncio.timeout(20 * PATIENCE):
        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 404 ")
        writer.write(body)
        writer.write(head(workspace, 2) + b"{}")
        said = await reader.readuntil(b"HTTP/1.1 422 ")
    assert b"HTTP/1.1 431" not in said
    writer.close()


async def test_a_connection_that_is_kept_serves_many_requests_however_long_they_all_take(
    port: int, workspace: Workspace
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    began = asyncio.get_running_loop().time()
    while asyncio.get_running_loop().time() < began + 2 * PATIENCE:
        writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert await reader.readuntil(b'{"status":"alive"}')
    writer.close()


class Sender:
    """Gives pieces of a body when a test's clock has come so far; past the end it never gives more."""

    def __init__(self, pieces: list[tuple[float, bytes]], *, whole: bool) -> None:
        self.pieces, self.whole, self.now = pieces, whole, 0.0

    def clock(self) -> float:
        return self.now

    async def receive(self) -> Any:
        wait, body = self.pieces.pop(0)
        self.now += wait
        if wait < 0:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": body, "more_body": bool(self.pieces) or not self.whole}


async def test_a_body_may_take_as_long_as_its_bytes_need() -> None:
    sender = Sender([(0.9, b"x" * 1000)] * 50, whole=True)
    receive = limited(sender.receive, 10**6, seconds=1, rate=1000, clock=sender.clock)
    for _ in range(50):
        await receive()


async def test_a_body_that_only_trickles_is_cut() -> None:
    sender = Sender([(0.9, b"x")] * 50, whole=True)
    receive = limited(sender.receive, 10**6, seconds=1, rate=1000, clock=sender.clock)
    await receive()
    with pytest.raises(HTTPException, match="408"):
        await receive()


async def test_who_waits_for_the_end_of_a_stream_waits_for_ever() -> None:
    leaving = asyncio.Event()
    sender = Sender([(0, b"")], whole=True)

    async def receive() -> Any:
        if sender.pieces:
            return await sender.receive()
        await leaving.wait()
        return {"type": "http.disconnect"}

    receiving = limited(receive, 10, seconds=0.05, rate=1, clock=sender.clock)
    await receiving()
    asyncio.get_running_loop().call_later(0.1, leaving.set)
    assert (await receiving())["type"] == "http.disconnect"


async def test_a_head_goes_with_what_follows_it_at_once_and_never_waits_for_what_does_not() -> None:
    read = asyncio.Event()
    app = FastAPI()

    @app.get("/short")
    async def short() -> str:
        return "all of it"

    @app.get("/long")
    async def long() -> StreamingResponse:
        async def parts() -> AsyncIterator[str]:
            await read.wait()
            yield "later"

        return StreamingResponse(parts())

    async with listening(app) as port, asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /short HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.read(65_536)).endswith(b'\r\n\r\n"all of it"')
        writer.write(b"HEAD /short HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 405")
        writer.write(b"GET /long HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        read.set()
        assert await reader.read() == b"5\r\nlater\r\n0\r\n\r\n"
        writer.close()


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answers a body with itself, through ASGI."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message["body"], message["more_body"]
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": 200, "headers": [length, (b"way", b"through")]})
    await send({"type": "http.response.body", "body": body})


def asking(body: bytes, *more: str, path: str = "/direct") -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *more, "", ""]
    return "\r\n".join(lines).encode() + body


async def test_a_part_may_answer_past_asgi_what_comes_in_one_piece() -> None:
    app, waiting, begun = FastAPI(), asyncio.Queue[Say](), asyncio.Event()

    async def begin(*asked: Any) -> None:
        begun.set()
        await echo(*asked)

    app.add_middleware(lambda _: begin)

    def take(_: Any, body: bytes, say: Say) -> bool:
        if body == b"mine":
            waiting.put_nowait(say)
        return body == b"mine"

    app.state.direct = Direct("/direct", take)

    async def heard(reader: asyncio.StreamReader) -> tuple[bool, bytes]:
        told = await reader.readuntil(b"\r\n\r\n")
        length = int(told.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        return b"way: through" in told, await reader.readexactly(length)

    async with listening(app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        # Elsewhere, left to the app, and taken: answered in the order asked, whichever is ready first.
        writer.write(asking(b"mine", path="/elsewhere") + asking(b"yours") + asking(b"mine") + asking(b"last"))
        assert [await heard(reader), await heard(reader)] == [(True, b"mine"), (True, b"yours")]
        (await waiting.get())(200, [], b"mine")
        assert [await heard(reader), await heard(reader)] == [(False, b"mine"), (True, b"last")]
        # In two pieces it is the app's, which knows how long to wait for the rest.
        whole = asking(b"mine")
        begun.clear()
        writer.write(whole[:-2])
        await begun.wait()
        writer.write(whole[-2:])
        assert await heard(reader) == (True, b"mine")
        # Who hangs up is told nothing, and spoils nothing.
        writer.write(asking(b"mine"))
        say = await waiting.get()
        writer.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(asking(b"yours"))
        assert await heard(reader) == (True, b"yours")  # and so the other's leaving was noticed
        say(200, [], b"")
        writer.write(asking(b"mine", "Connection: close"))
        (await waiting.get())(503, [(b"retry-after", b"1")], b"later")
        told = await said_until_closed(reader)
        assert told.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        assert told.endswith(b"retry-after: 1\r\nconnection: close\r\n\r\nlater")
        writer.close()


async def test_a_server_that_is_to_end_waits_for_what_is_answered_past_asgi() -> None:
    app, waiting = FastAPI(), asyncio.Queue[Say]()

    def take(_: Any, body: bytes, say: Say) -> bool:
        waiting.put_nowait(say)
        return True

    app.state.direct = Direct("/direct", take)
    with bound() as sock:
        config = serving.served(app)
        config.lifespan, config.loop = "off", "none"
        server = Quiet(config)
        running = asyncio.create_task(server.serve(sockets=[sock]))
        reader, writer = await asyncio.open_connection("127.0.0.1", sock.getsockname()[1])
        idly, idle = await asyncio.open_connection("127.0.0.1", sock.getsockname()[1])
        writer.write(asking(b"mine"))
        say = await waiting.get()
        server.should_exit = True
        # Who asks nothing is sent away, who waits isn't.
        assert await idly.read() == b""
        assert not running.done()
        say(200, [], b"stored")
        told = await said_until_closed(reader)
        assert told.startswith(b"HTTP/1.1 200 OK\r\n")
        assert told.endswith(b"connection: close\r\n\r\nstored")
        await running
    writer.close()
    idle.close()
