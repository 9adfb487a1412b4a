"""Decides how a test listens: real servers, a real client of WebSockets, streams over sockets."""

import asyncio
import importlib.util
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI
from starlette.types import ASGIApp
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

import gateway.app
from chassis import serving
from tests.gateway.conftest import Quiet, bound

PROTOCOL = Subprotocol("graphql-transport-ws")


def another_gateway() -> FastAPI:
    """The gateway's app once more, as another process has it: with nothing of this one's."""
    spec = importlib.util.spec_from_file_location("gateway_again", Path(gateway.app.__file__))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    app: FastAPI = module.app
    return app


@dataclass
class Serving:
    """A server as it is run, and where."""

    server: Quiet
    address: str
    running: "asyncio.Task[None]"

    @property
    def url(self) -> str:
        return f"http://{self.address}/graphql"

    async def stop(self) -> None:
        self.server.should_exit = True
        await self.running


@asynccontextmanager
async def serve(app: ASGIApp, buffer: int = 0) -> AsyncIterator[Serving]:
    """The app as it is served, but for its lifespan. `buffer`: what the system takes in for a slow reader."""
    with bound() as listening:
        if buffer:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
        config = serving.served(app)
        config.lifespan, config.loop = "off", "none"
        server = Quiet(config)
        running = asyncio.create_task(server.serve(sockets=[listening]))
        made = Serving(server, f"127.0.0.1:{listening.getsockname()[1]}", running)
        try:
            yield made
        finally:
            await made.stop()


@dataclass
class Talk:
    """A conversation as its other side has it."""

    socket: ClientConnection
    opened: int = 0
    cursor: str = ""

    async def send(self, **message: Any) -> None:
        await self.socket.send(json.dumps(message))

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(20):
            message: dict[str, Any] = json.loads(await self.socket.recv())
            return message

    async def subscribe(self, query: str, **variables: Any) -> str:
        self.opened += 1
        await self.send(id=str(self.opened), type="subscribe", payload={"query": query, "variables": variables})
        return str(self.opened)

    async def told(self) -> dict[str, Any]:
        """The data of the next answer, which is whole."""
        message = await self.next()
        assert message["type"] == "next", message
        assert "errors" not in message["payload"], message
        data: dict[str, Any] = message["payload"]["data"]
        return data

    async def refused(self) -> str:
        """The code by which the next operation ends."""
        message = await self.next()
        assert message["type"] == "error", message
        return str(message["payload"][0]["extensions"]["code"])

    async def closed(self) -> int:
        """The code that the other side ends this with, whatever it says until then."""
        try:
            async with asyncio.timeout(20):
                while True:
                    await self.socket.recv()
        except ConnectionClosed as end:
            return int(end.rcvd.code) if end.rcvd else 0


@asynccontextmanager
async def silent(address: str, **options: Any) -> AsyncIterator[Talk]:
    """A socket on which nothing is said yet."""
    given = {"subprotocols": [PROTOCOL], "proxy": None, **options}
    async with connect(f"ws://{address}/graphql", **given) as socket:
        yield Talk(socket)


@asynccontextmanager
async def talking(address: str, token: str, **options: Any) -> AsyncIterator[Talk]:
    """A socket whose caller is known."""
    async with silent(address, **options) as talk:
        await talk.send(type="connection_init", payload={"Authorization": f"Bearer {token}"})
        ack = await talk.next()
        assert ack["type"] == "connection_ack"
        talk.cursor = ack["payload"]["cursor"]
        yield talk


@dataclass
class Events:
    """A stream of server-sent events as its other side has it."""

    lines: AsyncIterator[str]
    headers: httpx.Headers

    async def next(self) -> dict[str, str]:
        """The fields of the next block; nothing of comments, and of the end."""
        block: dict[str, str] = {}
        async with asyncio.timeout(20):
            async for line in self.lines:
                if not line:
                    return block
                name, _, value = line.partition(":")
                block[name] = value.removeprefix(" ")
        return {"event": "end"}

    async def told(self) -> dict[str, Any]:
        """The data of the next answer, which is whole."""
        block = await self.next()
        assert block.get("event") == "next", block
        answer = json.loads(block["data"])
        assert "errors" not in answer, answer
        data: dict[str, Any] = answer["data"]
        return data

    async def refused(self) -> str:
        block = await self.next()
        assert block.get("event") == "next", block
        return str(json.loads(block["data"])["errors"][0]["extensions"]["code"])


@asynccontextmanager
async def streaming(
    url: str, token: str, query: str, headers: dict[str, str] | None = None, **variables: Any
) -> AsyncIterator[Events]:
    """The events that an operation is answered with."""
    sent = {"Accept": "text/event-stream", "Authorization": f"Bearer {token}", **(headers or {})}
    async with (
        httpx.AsyncClient(trust_env=False, timeout=20) as http,
        http.stream("POST", url, json={"query": query, "variables": variables}, headers=sent) as answer,
    ):
        assert answer.status_code == 200, await answer.aread()
        yield Events(answer.aiter_lines(), answer.headers)
