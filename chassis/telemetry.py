"""Decides what a process tells of itself: one line per request and event, without a secret in it."""

import logging
import sys
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import structlog
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chassis import problems
from chassis.errors import FieldError
from chassis.fields import new_id

log = logging.getLogger("mops.http")

# Attributes that every LogRecord has; whatever else one carries was given as `extra`.
_STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
QUIET = {"/livez", "/readyz", "/metrics"}


def _extras(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    record: logging.LogRecord = line["_record"]
    line.update({key: value for key, value in vars(record).items() if key not in _STANDARD})
    return line


def configure_logs(style: str) -> None:
    """Sends every logger's lines to standard output, for machines ("json") or people ("console")."""
    render: Any = (
        structlog.processors.JSONRenderer()
        if style == "json"
        else structlog.dev.ConsoleRenderer(colors=False, pad_event_to=0)
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _extras,
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            render,
        ],
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    # Both would print URLs, and a webhook's URL is a secret.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("uvicorn.access").disabled = True


class Edge:
    """The outermost layer of every app: request id, body limit, NUL in the URL, the log line, the last resort."""

    def __init__(self, app: ASGIApp, body_limit: Callable[[str], int]) -> None:
        self.app = app
        self.body_limit = body_limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        headers = dict(scope["headers"])
        request_id = headers.get(b"x-request-id", b"").decode("latin-1")[:100] or str(new_id())
        scope.setdefault("state", {})["request_id"] = request_id
        status = 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode("latin-1"))]
            await send(message)

        try:
            await self._guarded(scope, receive, sending, headers)
        except Exception:  # the last resort: nothing internal may reach the caller
            log.exception("request_failed", extra={"request_id": request_id})
            if status == 0:
                await problems.unexpected()(scope, receive, sending)
        finally:
            if scope["path"] not in QUIET:
                # The template, never the path: it may hold a webhook's token.
                route = getattr(scope.get("route"), "path", "-")
                log.info(
                    "request",
                    extra={
                        "method": scope["method"], "route": route, "status": status, "request_id": request_id,
                        "ms": round((time.perf_counter() - started) * 1000, 1),
                    },
                )  # fmt: skip

    async def _guarded(self, scope: Scope, receive: Receive, send: Send, headers: dict[bytes, bytes]) -> None:
        limit = self.body_limit(scope["path"])
        if b"%00" in scope.get("raw_path", b"") or b"%00" in scope["query_string"]:
            wrong = (FieldError(_nul_parameter(scope["query_string"]), "nul", "holds a NUL character"),)
            await problems.answer(422, "invalid", "the URL holds a NUL character", wrong)(scope, receive, send)
            return
        declared = headers.get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > limit:
            too_large = problems.answer(413, "too_large", f"a body here has {limit} bytes at most")
            await too_large(scope, receive, send)
            return
        await self.app(scope, _limited(receive, limit), send)


def _nul_parameter(query: bytes) -> str:
    for pair in query.split(b"&"):
        if b"%00" in pair:
            return pair.split(b"=")[0].decode("latin-1")
    return "path"


def _limited(receive: Receive, limit: int) -> Callable[[], Awaitable[Message]]:
    taken = 0

    async def receiving() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > limit:
            # Raised while the route reads the body; of all errors there, FastAPI lets only this kind through.
            raise HTTPException(413, f"a body here has {limit} bytes at most")
        return message

    return receiving
