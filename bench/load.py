"""Decides how load is made: requests over kept-open sockets of this machine, as many at once as there are sockets."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Told:
    """What a round of requests took, in seconds."""

    requests: int
    seconds: float
    latencies: tuple[float, ...]

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds

    @property
    def median_ms(self) -> float:
        return self.percentile_ms(50)

    def percentile_ms(self, percent: int) -> float:
        return sorted(self.latencies)[len(self.latencies) * percent // 100] * 1000


def request(url: str, headers: dict[str, str]) -> bytes:
    """A GET as it goes over the wire."""
    split = urlsplit(url)
    lines = [f"GET {split.path}{'?' + split.query if split.query else ''} HTTP/1.1", f"Host: {split.netloc}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


def post(url: str, headers: dict[str, str], body: bytes) -> bytes:
    """A POST of JSON as it goes over the wire."""
    split = urlsplit(url)
    lines = [f"POST {split.path} HTTP/1.1", f"Host: {split.netloc}", "Content-Type: application/json"]
    lines += [f"Content-Length: {len(body)}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Socket(asyncio.Protocol):
    """One connection with one request under way; refuses every answer that isn't a 200."""

    def __init__(self) -> None:
        self.transport: Any = None
        self._answered: asyncio.Future[bytes] | None = None
        self._got = bytearray()
        self._wanted = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(exc or ConnectionError("the server hung up"))

    def data_received(self, data: bytes) -> None:
        self._got += data
        if not self._wanted:
            head_end = self._got.find(b"\r\n\r\n")
            if head_end < 0:
                return
            head = bytes(self._got[:head_end]).lower()
            length = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
            self._wanted = head_end + 4 + int(length)
        if len(self._got) >= self._wanted and self._answered is not None:
            found, self._got, self._wanted = bytes(self._got), bytearray(), 0
            if found[9:12] == b"200":
                self._answered.set_result(found)
            else:
                self._answered.set_exception(RuntimeError(found[:2000].decode(errors="replace")))

    async def ask(self, wire: bytes) -> bytes:
        self._answered = asyncio.get_running_loop().create_future()
        self.transport.write(wire)
        return await self._answered


async def fetch(port: int, wire: bytes) -> bytes:
    """The body of one answer."""
    transport, opened = await asyncio.get_running_loop().create_connection(Socket, "127.0.0.1", port)
    try:
        return (await opened.ask(wire)).partition(b"\r\n\r\n")[2]
    finally:
        transport.close()


async def drive(port: int, wires: Sequence[bytes], sockets: int, seconds: float) -> Told:
    """Sends the requests in turn over so many sockets for so long."""
    loop = asyncio.get_running_loop()
    opened = [(await loop.create_connection(Socket, "127.0.0.1", port))[1] for _ in range(sockets)]
    latencies: list[float] = []
    began = time.perf_counter()
    until = began + seconds

    async def one(place: int, through: Socket) -> None:
        while (sent := time.perf_counter()) < until:
            await through.ask(wires[place % len(wires)])
            latencies.append(time.perf_counter() - sent)
            place += sockets

    try:
        await asyncio.gather(*(one(place, each) for place, each in enumerate(opened)))
        return Told(len(latencies), time.perf_counter() - began, tuple(latencies))
    finally:
        for each in opened:
            each.transport.close()


async def until_it_answers(port: int) -> None:
    """Returns when something listens there."""
    for _ in range(300):
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        await asyncio.sleep(0.1)
    raise RuntimeError(f"nothing listens on {port}")
