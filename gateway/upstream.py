"""Decides how a service is asked: with the caller's own token, before a deadline; and what a failure means."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import aiohttp
from opentelemetry.trace import SpanKind
from pydantic_core import from_json, to_json
from yarl import URL

from chassis.measures import Measures
from chassis.settings import Settings
from chassis.telemetry import Tracing, leaving
from gateway.derive.contract import Operation
from gateway.failures import GraphFailure, Refused

log = logging.getLogger("mops.upstream")

VERB_SECONDS = 10.0
CONNECTIONS_PER_SERVICE = 100
# Shorter than the 5 seconds after which a service hangs up, or both would act on the connection at once.
KEEPALIVE_SECONDS = 4.0

Query = Sequence[tuple[str, str]]


class Upstream:
    """The services, over one pool of connections."""

    def __init__(self, settings: Settings, http: aiohttp.ClientSession, tracing: Tracing, measures: Measures) -> None:
        self._settings = settings
        self._tracing = tracing
        self._measures = measures
        # All reads of one request together, however deep it is: a frozen service costs its fields within a second.
        self.read_seconds = settings.read_seconds
        self._http = http

    async def call(
        self, operation: Operation, path: Mapping[str, str], query: Query, body: Any, headers: Mapping[str, str],
        deadline: float,
    ) -> bytes:  # fmt: skip
        """What an operation answers, undecoded. Raises Refused for a 4xx, GraphFailure when there is no answer; that is
        logged here, once, however many fields wait for it."""
        filled = operation.path
        for name, value in path.items():
            if value in ("", ".", "..") or "/" in value:
                raise _no_segment(operation, name)
            filled = filled.replace("{" + name + "}", quote(value, safe=""))
        url = URL(self._settings.url(operation.service) + filled, encoded=True).update_query(query)
        data = None if body is None else to_json(body)
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
                raise self._failed(operation, "UPSTREAM_TIMEOUT", "doesn't answer in time") from None
            except (aiohttp.ClientError, OSError) as problem:
                raise self._failed(operation, "UPSTREAM_UNAVAILABLE", "can't be reached", cause=problem) from None
            span.set_attribute("http.response.status_code", status)
            return self._read(operation, status, content)

    def unreadable(self, operation: Operation) -> GraphFailure:
        """What an answer that isn't as it was promised means."""
        return self._failed(operation, "UPSTREAM_UNAVAILABLE", "answers with what can't be read")

    def _read(self, operation: Operation, status: int, content: bytes) -> bytes:
        if 200 <= status < 300:
            return content
        try:
            answer = from_json(content) if content else None
        except ValueError:
            raise self.unreadable(operation) from None
        problem = answer if isinstance(answer, dict) else {}
        if 400 <= status < 500:
            raise Refused(operation.service, status, problem)
        reason = problem.get("code") if status == 503 else None
        raise self._failed(operation, "UPSTREAM_UNAVAILABLE", "can't answer now", reason=reason, status=status)

    def _failed(
        self, operation: Operation, code: str, words: str, *, reason: str | None = None,
        cause: Exception | None = None, status: int | None = None,
    ) -> GraphFailure:  # fmt: skip
        self._measures.upstream_failures.labels(operation.service, code).inc()
        log.warning(
            "upstream_failed",
            extra={
                "service": operation.service, "operation": operation.id, "code": code, "status": status,
                "cause": type(cause).__name__ if cause else None,
            },
        )  # fmt: skip
        return GraphFailure(code, f"{operation.service} {words}", service=operation.service, reason=reason)


def _no_segment(operation: Operation, name: str) -> Refused:
    """Such a value would make another path, with another meaning."""
    wrong = {"field": name, "code": "invalid", "message": "can't be empty, dots or hold a slash"}
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
        yield Upstream(settings, http, tracing, measures)
