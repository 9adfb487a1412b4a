"""Decides how a request is answered without an ASGI call, where so many come that calling costs more than answering.

A part may name one prefix of paths and a function (`app.state.direct`). The server offers it each POST there that came
in one piece; it takes the request, or leaves it to the app before anything has happened. So only what is usual need be
known here: whatever is large, slow, wrong or new is the app's, and has one meaning. What a caller gets, and what is
told of it (id, log line, figures, span), is the same either way.
"""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind

from chassis.edge import REQUEST_ID, tell
from chassis.telemetry import Tracing, failed

Headers = Sequence[tuple[bytes, bytes]]
# Whom an answer goes to: its status, headers and body. Once.
Say = Callable[[int, Headers, bytes], None]
# The request as ASGI's scope, its body, and whom to answer; whether it is taken. It never raises.
Take = Callable[[Mapping[str, Any], bytes, Say], bool]


@dataclass(frozen=True)
class Direct:
    """What is answered so: POSTs to paths that begin with this."""

    prefix: str
    take: Take


class Visit:
    """One such request that is taken, until it is answered. `began` is when it came, by time.perf_counter()."""

    __slots__ = ("_began", "_extra", "_measures", "_route", "_say", "_span", "request_id")

    def __init__(self, state: Any, route: str, headers: Mapping[str, str], say: Say, began: float) -> None:
        tracing: Tracing = state.tracing
        self._say, self._route, self._measures, self._began = say, route, state.measures, began
        self._span: Span | None = None
        if tracing.records or "traceparent" in headers:
            parent = tracing.arriving(headers)
            if tracing.records:
                self._span = tracing.tracer.start_span(
                    f"POST {route}", parent, SpanKind.SERVER, {"http.request.method": "POST", "http.route": route}
                )
            here = (self._span or trace.get_current_span(parent)).get_span_context().trace_id
        else:
            here = random.getrandbits(128) or 1
        trace_id = f"{here:032x}"
        given = headers.get("x-request-id", "")
        self.request_id = given if REQUEST_ID.fullmatch(given) else trace_id
        self._extra = {"trace_id": trace_id}

    def answer(self, status: int, headers: Headers, body: bytes) -> None:
        self._say(status, [*headers, (b"x-request-id", self.request_id.encode())], body)
        seconds = time.perf_counter() - self._began
        tell(self._measures, "POST", self._route, status, self.request_id, seconds, self._extra)
        if self._span is not None:
            self._span.set_attribute("http.response.status_code", status)
            if status >= 500:
                failed(self._span, str(status))
            self._span.end()
