"""Decides what every test stands on: a real Postgres with the stack's roles, real apps, a clock that tests move."""

import asyncio
import json
import secrets
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from joserfc.jwk import KeySet, OKPKey
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import NoOpTracer, Tracer
from pydantic import SecretStr
from sqlalchemy import event

from chassis import migrate
from chassis.db import Database
from chassis.settings import Settings
from chassis.stack import parts
from chassis.telemetry import Tracing, http_client
from chassis.tokens import Verifier
from deploy.postgres import cluster, databases, dsn, roles

START = datetime(2026, 6, 15, 12, 0, tzinfo=UTC)


@dataclass
class Clock:
    """The time that every part under test reads."""

    now: datetime = START

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **span: float) -> None:
        self.now += timedelta(**span)

    def seconds(self) -> float:
        return self.now.timestamp()


@dataclass
class _Kept(SpanExporter):
    spans: "deque[ReadableSpan]"

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.spans.extend(spans)
        return SpanExportResult.SUCCESS


# Without a repr: Python writes that of what a fixture gives, at each step of the loop, and all spans are in it.
@dataclass(frozen=True, repr=False)
class TestStack:
    """A database of its own with every schema at its newest, and what the parts need to know to use it."""

    __test__ = False
    admin_dsn: str
    name: str
    home: Path
    clock: Clock
    passwords: dict[str, str]
    service_secrets: dict[str, str]
    # What is done while a test has asked for it, over all parts: it looks for its own trace.
    spans: "deque[ReadableSpan]" = field(default_factory=lambda: deque(maxlen=10_000))
    _tracings: list[Tracing] = field(default_factory=list)
    key: OKPKey = field(default_factory=lambda: OKPKey.generate_key("Ed25519", {"kid": "test"}))

    def settings(self, part: str) -> Settings:
        login = dsn.with_login(self.admin_dsn, f"{self.name}_{part}", self.passwords[part])
        return Settings(
            part=part,
            database_url=SecretStr(login),
            worker_role=f"{self.name}_{part}_worker",
            database_pool=5,
            urls={name: f"http://{name}" for name in parts()},
            public_urls={name: f"http://{name}" for name in parts()},
            home=self.home,
            # A busy machine is no frozen service; tests of frozen ones wait less.
            read_seconds=30,
            secret_key=SecretStr("q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s="),
            signing_keys=SecretStr(json.dumps(KeySet([self.key]).as_dict(private=True))),
            service_secret=SecretStr(self.service_secrets[part]),
        )

    def _recording(self) -> Tracer:
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(_Kept(self.spans)))
        return provider.get_tracer("test")

    @contextmanager
    def traced(self) -> Iterator["deque[ReadableSpan]"]:
        """What the started apps do meanwhile. Otherwise they make no spans, as where nobody takes traces."""
        self.spans.clear()
        for tracing in self._tracings:
            tracing.tracer = self._recording()
        try:
            yield self.spans
        finally:
            for tracing in self._tracings:
                tracing.tracer = NoOpTracer()

    @asynccontextmanager
    async def started(self, apps: dict[str, FastAPI]) -> AsyncIterator[None]:
        """The apps with their real databases, reaching each other over HTTP without sockets. Nothing runs by itself:
        a test delivers events and runs jobs when it wants them."""
        async with AsyncExitStack() as stack:
            mounts = {f"http://{name}": httpx.ASGITransport(app) for name, app in apps.items()}
            http = await stack.enter_async_context(http_client(mounts=mounts))
            for part, app in apps.items():
                app.state.settings = self.settings(part)
                app.state.clock = self.clock
                # Told of each statement from the first connection on.
                app.state.tracing = Tracing(self._recording())
                app.state.http = http
                app.state.background = False
                app.state.verifier = Verifier("http://gateway", http, self.clock.seconds)
                app.state.verifier.trust(KeySet([self.key]).as_dict(private=False))
                await stack.enter_async_context(app.router.lifespan_context(app))
                app.state.tracing.tracer = NoOpTracer()
                self._tracings.append(app.state.tracing)
            yield


@contextmanager
def statements(database: Database) -> Iterator[list[str]]:
    """What is asked of a part's database meanwhile, through its sessions and its readers."""
    seen: list[str] = []

    def note(_: object, __: object, statement: str, *___: object) -> None:
        seen.append(statement)

    @contextmanager
    def note_read(statement: str) -> Iterator[None]:
        seen.append(statement)
        yield

    before = database.watch_read
    database.watch_read = note_read
    event.listen(database.engine.sync_engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        database.watch_read = before
        event.remove(database.engine.sync_engine, "before_cursor_execute", note)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an administrator in a database that nobody else uses."""
    with cluster.running(tmp_path_factory.mktemp("postgres"), durable=False) as running:
        name = f"mops_test_{secrets.token_hex(4)}"
        yield asyncio.run(databases.create(running.admin_dsn, name))
        asyncio.run(databases.drop(running.admin_dsn, name))


@contextmanager
def prepared(admin_dsn: str, home: Path) -> Iterator[TestStack]:
    """Roles and schemas in a database of its own."""
    made = TestStack(
        admin_dsn=admin_dsn,
        name=f"mops_{secrets.token_hex(3)}",
        home=home,
        clock=Clock(),
        passwords={part: secrets.token_hex(8) for part in parts()},
        service_secrets={part: secrets.token_hex(16) for part in parts()},
    )

    async def prepare() -> None:
        await roles.ensure(made.admin_dsn, made.name, made.passwords)
        for part in parts():
            await migrate.upgrade(made.admin_dsn, part, made.name)

    asyncio.run(prepare())
    yield made
    asyncio.run(roles.drop(made.admin_dsn, made.name))


@pytest.fixture(scope="session")
def stack(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestStack]:
    with prepared(postgres, tmp_path_factory.mktemp("home")) as made:
        yield made


@pytest.fixture
def clock(stack: TestStack) -> Iterator[Clock]:
    """The clock of all parts, back at its start for each test."""
    stack.clock.now = START
    yield stack.clock
    stack.clock.now = START


@pytest.fixture
def spans(stack: TestStack) -> Iterator["deque[ReadableSpan]"]:
    """What the apps of `apps` do in this test."""
    with stack.traced() as told:
        yield told
