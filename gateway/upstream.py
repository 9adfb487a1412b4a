"""Decides how a service is asked: with the caller's own token, before a deadline; and what a failure means."""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import aiohttp
from opentelemetry.trace import SpanKind
from pydantic_core import from_json, to_json
from yarl import URL

from chassis.measures import Measures
from chassis.settings import Settings
from chassis.telemetry import Tracing, leaving
from gateway.breaker import Breaker, Open
from gateway.derive.contract import Operation
from gateway.failures import Away, GraphFailure, Refused

log = logging.getLogger("mops.upstream")

VERB_SECONDS = 10.0
CONNECTIONS_PER_SERVICE = 100
# How old a read may be that others join: what they would see is no older than that.
JOIN_SECONDS = 0.05
# Shorter than the 5 seconds after which a service hangs up, or both would act on the connection at once.
KEEPALIVE_SECONDS = 4.0

Query = Sequence[tuple[str, str]]


@dataclass
class _Flight:
    """A read that is under way, and how many wait for it."""

    key: tuple[Any, ...]
    task: asyncio.Task[bytes]
    began: float
    waiting: int = 0


class Upstream:
    """The services, over one pool of connections."""

    def __init__(
        self, settings: Settings, http: aiohttp.ClientSession, tracing: Tracing, measures: Measures,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._settings = settings
        self._tracing = tracing
        self._measures = measures
        # All reads of one request together, however deep it is: a frozen service costs its fields within a second.
        self.read_seconds = settings.read_seconds
        self._http = http
        self.ticks = ticks
        self._breakers: dict[str, Breaker] = defaultdict(lambda: Breaker(lambda: self.ticks()))
        self._flights: dict[tuple[Any, ...], _Flight] = {}

    async def read(
        self, operation: Operation, path: Mapping[str, str], query: Query, data: bytes | None,
        headers: Mapping[str, str], deadline: float,
    ) -> bytes:  # fmt: skip
        """As `call`, for what changes nothing: asked once for all who want the same of the same at the same time, and
        once more where the connection broke. Whoever leaves leaves the others their answer; the last one ends it."""
        caller = headers.get("authorization")
        key = (caller, operation.id, tuple(path.items()), tuple(query), data)
        now = asyncio.get_running_loop().time()
        flight = self._flights.get(key)
        if flight is not None and now - flight.began < JOIN_SECONDS:
            return await self._joined(operation, flight, deadline)
        call = self._twice(operation, path, query, data, headers, deadline)
        flight = self._flights[key] = _Flight(key, asyncio.ensure_future(call), now)
        return await self._waited(flight)

    async def _joined(self, operation: Operation, flight: _Flight, deadline: float) -> bytes:
        try:
            # Whoever began it may have had more time.
            async with asyncio.timeout_at(deadline):
                return await self._waited(flight)
        except TimeoutError:
            away = _away(operation, "UPSTREAM_TIMEOUT", "doesn't answer in time")
            self._tell(operation, away)
            raise away from None

    async def _waited(self, flight: _Flight) -> bytes:
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if flight.task.done() or not flight.waiting:
                flight.task.cancel()
                if self._flights.get(flight.key) is flight:
                    del self._flights[flight.key]

    def forget(self, caller: str | None) -> None:
        """Nobody joins what this caller has asked so far: it changed something, and wants to see that."""
        for key in [key for key in self._flights if key[0] == caller]:
            del self._flights[key]

    async def _twice(
        self, operation: Operation, path: Mapping[str, str], query: Query, data: bytes | None,
        headers: Mapping[str, str], deadline: float,
    ) -> bytes:  # fmt: skip
        try:
            return await self._guarded(operation, path, query, data, headers, deadline, is_last=False)
        except Away as away:
            if not away.again:
                raise
        return await self._guarded(operation, path, query, data, headers, deadline)

    async def call(
        self, operation: Operation, path: Mapping[str, str], query: Query, body: Any, headers: Mapping[str, str],
        deadline: float,
    ) -> bytes:  # fmt: skip
        """What an operation answers, undecoded. Raises Refused for a 4xx, GraphFailure when there is no answer; that is
        logged here, once, however many fields wait for it."""
        data = None if body is None else to_json(body)
        return await self._guarded(operation, path, query, data, headers, deadline)

    async def _guarded(
        self, operation: Operation, path: Mapping[str, str], query: Query, data: bytes | None,
        headers: Mapping[str, str], deadline: float, *, is_last: bool = True,
    ) -> bytes:  # fmt: skip
        try:
            with self._breakers[operation.service].asking():
                return await self._call(operation, path, query, data, headers, deadline)
        except Open:
            code, words = "UPSTREAM_UNAVAILABLE", f"{operation.service} is away, and is asked again in a moment"
            self._measures.upstream_failures.labels(operation.service, code).inc()
            raise GraphFailure(code, words, service=operation.service, reason="circuit_open") from None
        except Away as away:
            if is_last or not away.again:
                self._tell(operation, away)
            raise

    async def _call(
        self, operation: Operation, path: Mapping[str, str], query: Query, data: bytes | None,
        headers: Mapping[str, str], deadline: float,
    ) -> bytes:  # fmt: skip
        filled = operation.path
        for name, value in path.items():
            if value in ("", ".", "..") or "/" in value or "\0" in value:
                raise _no_segment(operation, name)
            filled = filled.replace("{" + name + "}", quote(value, safe=""))
        url = URL(self._settings.url(operation.service) + filled, encoded=True).update_query(query)
        began = asyncio.get_running_loop().time()
        with (
            self._measures.upstream_calls.labels(operation.service).time(),
            self._tracing.span(
                f"{operation.method} {operation.service}{operation.path}", SpanKind.CLIENT,
                http__request__method=operation.method, url__template=operation.path, server__name=operation.service,
            ) as span,
        ):  # fmt: skip
            try:
                async with (
                    asyncio.timeout_at(deadline),
                    self._http.request(
                        operation.method, url, data=data, headers={**headers, **leaving()}, allow_redirects=False
                    ) as answer,
                ):
                    content = await answer.read()
                    status = answer.status
            except TimeoutError:
                away = _away(operation, "UPSTREAM_TIMEOUT", "doesn't answer in time")
                if asyncio.get_running_loop().time() - began >= self.read_seconds / 2:
                    raise away from None
                # Others had used up the time: that says nothing of this service.
                self._tell(operation, away)
                raise GraphFailure(away.code, str(away), service=operation.service) from None
            except (aiohttp.ClientError, OSError) as problem:
                raise _away(operation, "UPSTREAM_UNAVAILABLE", "can't be reached", again=True) from problem
            span.set_attribute("http.response.status_code", status)
            return self._read(operation, status, content)

    def unreadable(self, operation: Operation) -> GraphFailure:
        """What an answer that isn't as it was promised means."""
        away = _away(operation, "UPSTREAM_UNAVAILABLE", "answers with what can't be read")
        self._tell(operation, away)
        return away

    def _read(self, operation: Operation, status: int, content: bytes) -> bytes:
        if 200 <= status < 300:
            return content
        try:
            answer = from_json(content) if content else None
        except ValueError:
            raise _away(operation, "UPSTREAM_UNAVAILABLE", "answers with what can't be read") from None
        problem = answer if isinstance(answer, dict) else {}
        if 400 <= status < 500:
            raise Refused(operation.service, status, problem)
        away = _away(operation, "UPSTREAM_UNAVAILABLE", "can't answer now", again=status in (502, 504))
        if status == 503 and problem.get("code"):
            # It is well enough to say why; that may concern one workspace alone.
            self._tell(operation, away, status)
            raise GraphFailure(away.code, str(away), service=operation.service, reason=problem["code"])
        raise away

    def _tell(self, operation: Operation, away: Away, status: int | None = None) -> None:
        self._measures.upstream_failures.labels(operation.service, away.code).inc()
        cause = type(away.__cause__).__name__ if away.__cause__ else None
        said = {"service": operation.service, "operation": operation.id, "code": away.code, "status": status}
        log.warning("upstream_failed", extra={**said, "cause": cause})


def _away(operation: Operation, code: str, words: str, *, again: bool = False) -> Away:
    away = Away(code, f"{operation.service} {words}", service=operation.service)
    away.again = again
    return away


def _no_segment(operation: Operation, name: str) -> Refused:
    """Such a value would make another path, with another meaning."""
    wrong = {"field": name, "code": "invalid", "message": "can't be empty, dots, or hold a slash or a NUL character"}
    return Refused(
        operation.service, 422, {"code": "invalid", "detail": f"{name} {wrong['message']}", "errors": [wrong]}
    )


@asynccontextmanager
async def connected(settings: Settings, tracing: Tracing, measures: Measures) -> AsyncIterator[Upstream]:
    """aiohttp, because httpx 0.28 loses connections of its pool when calls are cancelled."""
    pool = aiohttp.TCPConnector(
        limit=0, limit_per_host=CONNECTIONS_PER_SERVICE, keepalive_timeout=KEEPALIVE_SECONDS, ttl_dns_cache=60
    )
    async with aiohttp.ClientSession(
        connector=pool, cookie_jar=aiohttp.DummyCookieJar(), timeout=aiohttp.ClientTimeout(total=None),
        headers={"Content-Type": "application/json"},
    ) as http:  # fmt: skip
        # By itself aiohttp asks again where a connection broke, after a DELETE too; it is for us to say what is a read.
        http._retry_connection = False
        yield Upstream(settings, http, tracing, measures)
