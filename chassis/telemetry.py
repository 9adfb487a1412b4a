"""Decides what a process tells of itself: log lines and traces (W3C trace context), without a secret in either."""

import json
import logging
import os
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
import structlog
from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, NonRecordingSpan, NoOpTracer, Span, SpanContext, SpanKind, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.fields import rfc3339
from chassis.problems import frames_of, kind_of
from chassis.settings import Settings

log = logging.getLogger("mops.telemetry")

# Attributes that every LogRecord has; whatever else one carries was given as `extra`.
_STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
_W3C = TraceContextTextMapPropagator()


def _said(record: logging.LogRecord) -> dict[str, Any]:
    """What a line says, with the trace that it belongs to."""
    line = {
        "event": record.getMessage(),
        "level": record.levelname.lower(),
        "timestamp": rfc3339(datetime.fromtimestamp(record.created, UTC)),
    }
    line.update({key: value for key, value in vars(record).items() if key not in _STANDARD})
    here = trace.get_current_span().get_span_context()
    if here.is_valid:
        line["trace_id"] = trace.format_trace_id(here.trace_id)
    if record.exc_info and record.exc_info[1]:
        # Its kinds, masked words and places: a plain traceback quotes whatever the words held.
        line["exception"] = "\n".join(frames_of(record.exc_info[1]))
    return line


class Lines(logging.Formatter):
    """Every record as one line."""

    def __init__(self, render: Callable[[dict[str, Any]], str]) -> None:
        super().__init__()
        self.render = render

    def format(self, record: logging.LogRecord) -> str:
        return self.render(_said(record))


def log_format(style: str) -> logging.Formatter:
    """Lines for machines ("json") or people ("console")."""
    if style == "json":
        return Lines(json.JSONEncoder(default=repr).encode)
    console = structlog.dev.ConsoleRenderer(colors=False, pad_event_to=0)
    return Lines(lambda line: str(console(None, "", line)))


def configure_logs(style: str) -> None:
    """Sends every logger's lines to standard output."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(log_format(style))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    # No line says where in the code or on which thread it was made, and finding out takes a fifth of its time.
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    # All three would print URLs, and a webhook's URL is a secret.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("mops.socket").setLevel(logging.WARNING)
    logging.getLogger("uvicorn.access").disabled = True


@dataclass
class Tracing:
    """One part's tracer. Where nobody takes traces it makes no spans, and trace ids go through all the same."""

    tracer: Tracer = field(default_factory=NoOpTracer)
    close: Callable[[], None] = lambda: None

    @classmethod
    def to(cls, settings: Settings) -> "Tracing":
        """Sends spans by OTLP/HTTP where settings or OpenTelemetry's own variables say so. What sends them is imported
        only then: it costs 0.1 s and 4 MB a process."""
        if not settings.otlp_url and not any(
            os.environ.get(f"OTEL_EXPORTER_OTLP_{name}") for name in ("ENDPOINT", "TRACES_ENDPOINT")
        ):
            return cls()
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        endpoint = f"{settings.otlp_url.rstrip('/')}/v1/traces" if settings.otlp_url else None
        # A collector that is away must not hold up the end of the process.
        exporter = OTLPSpanExporter(endpoint=endpoint, timeout=2)
        provider = TracerProvider(
            resource=Resource.create({"service.name": f"mops-{settings.part}"}), shutdown_on_exit=False
        )
        provider.add_span_processor(BatchSpanProcessor(exporter))
        return cls(provider.get_tracer("mops"), provider.shutdown)

    @property
    def records(self) -> bool:
        return not isinstance(self.tracer, NoOpTracer)

    def arriving(self, headers: Mapping[str, str]) -> Context:
        """The trace that a caller's headers name, or the beginning of a new one."""
        found = _W3C.extract(headers, Context())
        if self.records or trace.get_current_span(found).get_span_context().is_valid:
            return found
        fresh = SpanContext(random.getrandbits(128) or 1, random.getrandbits(64) or 1, is_remote=True)
        return trace.set_span_in_context(NonRecordingSpan(fresh), Context())

    @contextmanager
    def span(
        self, name: str, kind: SpanKind = SpanKind.INTERNAL, parent: Context | None = None, **attributes: Any
    ) -> Iterator[Span]:
        """What happens within is one span. Of a failure it keeps the kind and never the words."""
        if not self.records:
            token = contexts.attach(parent) if parent is not None else None
            try:
                yield trace.get_current_span()
            finally:
                if token is not None:
                    contexts.detach(token)
            return
        here = trace.get_current_span().get_span_context()
        links = [Link(here)] if parent is not None and here.is_valid else []
        named = {key.replace("__", "."): value for key, value in attributes.items() if value is not None}
        token = contexts.attach(parent) if parent is not None else None
        try:
            with self.tracer.start_as_current_span(
                name, kind=kind, attributes=named, links=links, record_exception=False, set_status_on_exception=False
            ) as span:
                try:
                    yield span
                except Exception as problem:
                    failed(span, kind_of(problem))
                    raise
        finally:
            if token is not None:
                contexts.detach(token)

    def _begin(self, statement: str) -> Span:
        attributes = {"db.system.name": "postgresql", "db.query.text": statement[:2000]}
        return self.tracer.start_span(statement.split(None, 1)[0].upper(), None, SpanKind.CLIENT, attributes)

    @contextmanager
    def statement(self, statement: str) -> Iterator[None]:
        """The span of a statement that doesn't go by an engine."""
        if not trace.get_current_span().get_span_context().is_valid:
            yield
            return
        span = self._begin(statement)
        try:
            yield
        except Exception as problem:
            failed(span, kind_of(problem))
            raise
        finally:
            span.end()

    def watch(self, engine: AsyncEngine) -> None:
        """A span for each statement: its text, which holds placeholders and never what is bound to them."""
        if not self.records:
            return

        def before(connection: Any, _: Any, statement: str, *__: Any) -> None:
            spans = connection.info.setdefault("spans", [])
            if not trace.get_current_span().get_span_context().is_valid:
                spans.append(None)  # looking round every few seconds is part of nothing that anybody follows
                return
            spans.append(self._begin(statement))

        def after(connection: Any, *_: Any) -> None:
            if span := connection.info["spans"].pop():
                span.end()

        def broken(context: Any) -> None:
            spans = context.connection.info.get("spans") if context.connection is not None else None
            if spans and (span := spans.pop()):
                failed(span, kind_of(context.original_exception))
                span.end()

        event.listen(engine.sync_engine, "before_cursor_execute", before)
        event.listen(engine.sync_engine, "after_cursor_execute", after)
        event.listen(engine.sync_engine, "handle_error", broken)


def failed(span: Span, kind: str) -> None:
    span.set_attribute("error.type", kind)
    span.set_status(StatusCode.ERROR)


def leaving() -> dict[str, str]:
    """The headers by which this trace goes on to whoever is called."""
    headers: dict[str, str] = {}
    _W3C.inject(headers)
    return headers


def trace_id() -> str:
    """This trace's id as it stands in log lines: 32 hexadecimal digits."""
    return trace.format_trace_id(trace.get_current_span().get_span_context().trace_id)


async def _follow(request: httpx.Request) -> None:
    request.headers.update(leaving())


class _Reaching(httpx.AsyncHTTPTransport):
    """Who hangs up while being reached wasn't reached: under uvloop httpx then asks a socket that is gone."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            return await super().handle_async_request(request)
        except AttributeError as problem:
            raise httpx.ConnectError("the peer hung up", request=request) from problem


# Read once, and on one machine for all parts together: to read them is the most costly thing about a client.
_TRUST = httpx.create_ssl_context(trust_env=False)


def http_client(**options: Any) -> httpx.AsyncClient:
    """What a part calls its neighbours with: the trace goes along, and never by way of somebody's proxy."""
    return httpx.AsyncClient(
        transport=_Reaching(verify=_TRUST, trust_env=False), trust_env=False, event_hooks={"request": [_follow]},
        **options,
    )  # fmt: skip
