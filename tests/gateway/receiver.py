"""Decides how a test receives what endpoints are told: over HTTP on a socket of this machine, as receivers do."""

import asyncio
import base64
import hashlib
import hmac
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

HANGS = 0


@dataclass
class Post:
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def event(self) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(self.body)
        return event

    def signed_by(self, secret: str) -> bool:
        """As Standard Webhooks has it, written from its specification alone."""
        key = base64.b64decode(secret.removeprefix("whsec_"))
        message = f"{self.id}.{self.headers['webhook-timestamp']}.".encode() + self.body
        right = base64.b64encode(hmac.new(key, message, hashlib.sha256).digest()).decode()
        signatures = [each.split(",", 1) for each in self.headers["webhook-signature"].split(" ")]
        return any(version == "v1" and hmac.compare_digest(value, right) for version, value in signatures)


@dataclass
class Receiver:
    """`answers` maps a path to the status that it answers, or to what decides it; HANGS: it never does. `retry_after`
    maps a path to when it says to come back."""

    url: str
    answers: dict[str, int | Callable[[Post], int]] = field(default_factory=dict)
    retry_after: dict[str, str] = field(default_factory=dict)
    posts: list[Post] = field(default_factory=list)
    came: asyncio.Condition = field(default_factory=asyncio.Condition)
    ending: asyncio.Event = field(default_factory=asyncio.Event)

    def to(self, path: str) -> list[Post]:
        return [post for post in self.posts if post.path == path]

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(20), self.came:
            await self.came.wait_for(holds)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
            headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
            body = await reader.readexactly(int(headers["content-length"]))
            post = Post(first.split(" ")[1], headers, body)
            async with self.came:
                self.posts.append(post)
                self.came.notify_all()
            wanted = self.answers.get(post.path, 204)
            status = wanted if isinstance(wanted, int) else wanted(post)
            if status == HANGS:
                await self.ending.wait()
            else:
                # Location leads back here, so that whoever followed it would be seen.
                back = f"Retry-After: {self.retry_after[post.path]}\r\n" if post.path in self.retry_after else ""
                head = f"HTTP/1.1 {status} X\r\nLocation: {self.url}/moved\r\n{back}Content-Length: 0\r\n\r\n"
                writer.write(head.encode())
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # broken off
        finally:
            writer.close()


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """A receiver behind a socket of its own."""
    listening = socket.socket(proto=socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    receiver = Receiver(f"http://127.0.0.1:{listening.getsockname()[1]}")
    server = await asyncio.start_server(receiver.serve, sock=listening)
    async with server:
        try:
            yield receiver
        finally:
            receiver.ending.set()


async def only_here(host: str, _: int) -> list[str]:
    """No other name leads anywhere, so that nothing that other tests left behind is looked for elsewhere."""
    if host == "inside.example":
        return ["10.0.0.1"]
    if host != "127.0.0.1":
        raise socket.gaierror
    return [host]
