"""Decides what every request meets first and last: its trace and id, limits on size and time, its log line."""

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

from opentelemetry.trace import Span, SpanKind
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chassis import problems
from chassis.errors import FieldError
from chassis.measures import Measures
from chassis.settings import Settings
from chassis.telemetry import Tracing, failed, trace_id

log = logging.getLogger("mops.http")

# What looks at a process every few seconds is no request of anybody's.
QUIET = {"/livez", "/readyz", "/metrics"}
# A page of ours (the docs, the graph's editor) loads nothing from elsewhere; it may ask where a person tells it to.
PAGE_POLICY = (
    b"default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    b"img-src 'self' data:; font-src 'self' data:; worker-src 'self' blob:; connect-src *; frame-ancestors 'none'"
)
REQUEST_ID = re.compile(r"[\w.:\-]{1,100}", re.ASCII)


def tell(
    measures: Measures, method: str, route: str, status: int, request_id: str, seconds: float,
    more: Mapping[str, Any] | None = None, *, timed: bool = True,
) -> None:  # fmt: skip
    """Counts an answer, and tells of it in one line."""
    if timed:
        measures.request(method, route, status, seconds)
    log.info(
        "request",
        extra={
            "method": method, "route": route, "status": status, "request_id": request_id,
            "ms": round(seconds * 1000, 1), **(more or {}),
        },
    )  # fmt: skip


class Edge:
    """The outermost layer of every app. `limits` maps a path's pattern to the Settings field that bounds its body,
    where that isn't `body_limit`."""

    def __init__(self, app: ASGIApp, limits: dict[str, str]) -> None:
        self.app = app
        self.limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._conversed(scope, receive, send)
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if scope["path"] in QUIET:
            await self.app(scope, receive, send)
            return
        tracing: Tracing = scope["app"].state.tracing
        method = scope["method"]
        with tracing.span(method, SpanKind.SERVER, tracing.arriving(headers), http__request__method=method) as span:
            await self._told(scope, receive, send, headers, span)

    async def _told(self, scope: Scope, receive: Receive, send: Send, headers: dict[str, str], span: Span) -> None:
        started, status = time.perf_counter(), 0
        request_id = _identified(scope, headers)

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                said = [*message["headers"], (b"x-request-id", request_id.encode("latin-1"))]
                if (b"content-type", b"text/html; charset=utf-8") in said:
                    said.append((b"content-security-policy", PAGE_POLICY))
                message["headers"] = said
            await send(message)

        try:
            await self._guarded(scope, receive, sending, headers)
        except Exception:  # the last resort: nothing internal may reach the caller
            log.exception("request_failed", extra={"request_id": request_id})
            if status == 0:
                await problems.unexpected()(scope, receive, sending)
        finally:
            seconds = time.perf_counter() - started
            # The template, never the path: it may hold a webhook's token.
            method, route = scope["method"], getattr(scope.get("route"), "path", "-")
            # What lasts as long as its caller likes says nothing of ours.
            timed = not scope["state"].get("lasting")
            tell(scope["app"].state.measures, method, route, status, request_id, seconds, timed=timed)
            span.update_name(f"{method} {route}")
            span.set_attributes({"http.route": route, "http.response.status_code": status})
            if status >= 500 or status == 0:
                failed(span, str(status))

    async def _conversed(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A WebSocket: one line at its end, with the code that it was closed with."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        tracing: Tracing = scope["app"].state.tracing
        started, code = time.perf_counter(), 0

        async def receiving() -> Message:
            nonlocal code
            message = await receive()
            if message["type"] == "websocket.disconnect":
                code = code or message.get("code", 1005)
            return message

        async def sending(message: Message) -> None:
            nonlocal code
            if message["type"] == "websocket.close":
                code = code or message.get("code", 1000)
            await send(message)

        with tracing.span("WEBSOCKET", SpanKind.SERVER, tracing.arriving(headers)) as span:
            request_id = _identified(scope, headers)
            try:
                await self.app(scope, receiving, sending)
            except Exception:  # the last resort, as above
                log.exception("socket_failed", extra={"request_id": request_id})
                with suppress(Exception):
                    await sending({"type": "websocket.close", "code": 1011, "reason": "internal error"})
            finally:
                route = getattr(scope.get("route"), "path", "-")
                seconds = time.perf_counter() - started
                log.info(
                    "socket", extra={"route": route, "code": code, "request_id": request_id, "s": round(seconds, 1)}
                )
                span.update_name(f"WEBSOCKET {route}")
                span.set_attributes({"http.route": route, "websocket.close_code": code})

    async def _guarded(self, scope: Scope, receive: Receive, send: Send, headers: dict[str, str]) -> None:
        settings: Settings = scope["app"].state.settings
        name = next(
            (name for pattern, name in self.limits.items() if re.fullmatch(pattern, scope["path"])), "body_limit"
        )
        limit = int(getattr(settings, name))
        if b"%00" in scope.get("raw_path", b"") or b"%00" in scope["query_string"]:
            wrong = (FieldError(_nul_parameter(scope["query_string"]), "nul", "holds a NUL character"),)
            await problems.answer(422, "invalid", "the URL holds a NUL character", wrong)(scope, receive, send)
            return
        declared = headers.get("content-length", "0")
        if declared.isdecimal() and int(declared) > limit:
            too_large = problems.answer(413, "too_large", f"a body here has {limit} bytes at most")
            await too_large(scope, receive, send)
            return
        await self.app(scope, limited(receive, limit, settings.body_seconds, settings.body_rate), send)


def _identified(scope: Scope, headers: dict[str, str]) -> str:
    """The request's id: its caller's where they give a plain one, else its trace's."""
    given = headers.get("x-request-id", "")
    request_id = given if REQUEST_ID.fullmatch(given) else trace_id()
    scope.setdefault("state", {})["request_id"] = request_id
    return request_id


def _nul_parameter(query: bytes) -> str:
    for pair in query.split(b"&"):
        if b"%00" in pair:
            return pair.split(b"=")[0].decode("latin-1")
    return "path"


def limited(
    receive: Receive, limit: int, seconds: float, rate: float, clock: Callable[[], float] = time.monotonic
) -> Callable[[], Awaitable[Message]]:
    """A body of so many bytes at most, which never pauses for `seconds`, and takes no longer in all than `seconds` and
    what its bytes take at `rate` a second. Only the time in which the app waits for the sender counts."""
    taken, waited, whole = 0, 0.0, False

    async def receiving() -> Message:
        nonlocal taken, waited, whole
        if whole:  # what comes after a body is its sender's leaving, for which a stream waits as long as it lasts
            return await receive()
        began = clock()
        try:
            async with asyncio.timeout(seconds):
                message = await receive()
        except TimeoutError:
            message = None
        waited += clock() - began
        if message is None or waited > seconds + taken / rate:
            # Raised while the route reads the body; of all errors there, FastAPI lets only this kind through.
            raise HTTPException(408, "the body didn't come in time", {"Connection": "close"})
        taken += len(message.get("body", b""))
        whole = not message.get("more_body", False)
        if taken > limit:
            raise HTTPException(413, f"a body here has {limit} bytes at most")
        return message

    return receiving
