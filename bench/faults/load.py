"""Decides what the load is: people, scripts and platforms at all four services, who send again until they are told."""

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import aiohttp

from bench.faults.known import YEAR, Known
from bench.faults.source import Source
from bench.faults.worker import Worker
from chassis.stack import parts

PATIENCE = aiohttp.ClientTimeout(total=12)
TOKEN_SECONDS = 240.0
START_SECONDS = 120.0
SLUGS = 40


class Load:
    """All workers together, and how far they are."""

    def __init__(self, home: Path, port: int, seed: int, replicas: int = 1) -> None:
        self.home, self.port, self.seed, self.replicas = home, port, seed, replicas
        self.known = Known()
        self.done = 0
        self.token = ""
        self._authenticated = 0.0
        self._going = asyncio.Event()
        self._move = asyncio.Event()
        self._idle = 0
        self._workers: list[asyncio.Task[None]] = []
        self.http: aiohttp.ClientSession
        # What workers share: campaigns that events are tagged with, some of which aren't born yet; contended lines.
        self.slugs = [f"tagged-{number}" for number in range(SLUGS)]
        self.unborn = self.slugs[4:]
        self.lines: list[str] = []
        self.sources: list[Source] = []
        self.objective = ""

    def url(self, part: str, replica: int = 0) -> str:
        return f"http://127.0.0.1:{self.port + replica * len(parts()) + parts()[part].port}"

    async def __aenter__(self) -> "Load":
        self.http = aiohttp.ClientSession(timeout=PATIENCE, connector=aiohttp.TCPConnector(limit=0))
        return self

    async def __aexit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*self._workers, return_exceptions=True)
        await self.http.close()

    async def start(self, workers: int) -> None:
        """What everything else stands on, while nothing dies yet; then all workers. TimeoutError if it never is."""
        async with asyncio.timeout(START_SECONDS):
            await self._lay()
        self._going.set()
        self._workers = [asyncio.create_task(Worker(self, number).work()) for number in range(1, workers + 1)]

    async def _lay(self) -> None:
        await self.authenticate()
        first = Worker(self, 0)
        await first.create_objective()
        self.objective = next(iter(self.known.of("objective").told.values()))
        for number in range(4):
            await first.create_campaign(self.slugs[number])
        for platform in ("sendgrid", "standard"):
            await first.create_source(platform)
        await first.post([first.event("tagged-0", "clicked", YEAR) for _ in range(40)], self.sources[0])
        await first.post([first.event("tagged-1", "clicked", YEAR) for _ in range(40)], self.sources[1])
        await first.counted()
        for _ in range(2):
            await first.create_line()

    async def authenticate(self) -> None:
        who = json.loads((self.home / "clients.json").read_text())["other-admin"]
        status, self.token = await self.grant(who["client_id"], who["client_secret"])
        if status != 200:
            raise RuntimeError(f"/oauth/token answers {status}")
        self._authenticated = time.monotonic()

    async def stay_authenticated(self) -> None:
        """Takes another token long before the last one ends; call it while the gateway answers."""
        if time.monotonic() - self._authenticated > TOKEN_SECONDS:
            await self.authenticate()

    async def grant(self, client_id: str, secret: str) -> tuple[int, str]:
        """What /oauth/token answers a client: status, and its token or nothing."""
        form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}
        async with self.http.post(f"{self.url('gateway')}/oauth/token", data=form) as answer:
            return answer.status, (await answer.json()).get("access_token", "")

    @property
    def workspace(self) -> UUID:
        return UUID(json.loads((self.home / "clients.json").read_text())["other-admin"]["workspace_id"])

    async def rest(self) -> None:
        """Until every worker has finished what it was at, and was told of it."""
        self._going.clear()
        await self._until(lambda: self._idle == len(self._workers))

    def go_on(self) -> None:
        self._going.set()

    async def reached(self, target: int) -> None:
        """Until so many operations are done."""
        await self._until(lambda: self.done >= target)

    async def turn(self) -> None:
        """A worker's, between two operations."""
        if not self._going.is_set():
            self._idle += 1
            self._moved()
            await self._going.wait()
            self._idle -= 1

    def finished(self) -> None:
        self.done += 1
        self._moved()

    def _moved(self) -> None:
        self._move.set()
        self._move = asyncio.Event()

    async def _until(self, condition: Callable[[], bool]) -> None:
        self.raise_broken()
        while not condition():
            # Not wait_for: cancelled in the moment in which its time is up, it would go on.
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self._move.wait()
            self.raise_broken()

    def raise_broken(self) -> None:
        for worker in self._workers:
            if worker.done():
                worker.result()
