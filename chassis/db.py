"""Decides what a transaction is: whose rows it sees, and that it is committed here and nowhere else."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, TypeVar
from uuid import UUID

from fastapi import Depends, Request
from pydantic import SecretStr
from sqlalchemy import ARRAY, Column, DateTime, Enum, MetaData, Text, TypeDecorator, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import Field, SQLModel

from chassis import tables
from chassis.audit import AuditedSession
from chassis.connections import Connections, engine_to
from chassis.errors import NotFound, Unavailable
from chassis.fields import new_id
from chassis.idempotency import claim
from chassis.identity import CurrentPrincipal, Principal
from chassis.reading import Reader, Source
from chassis.settings import Settings

NAMES = {
    "pk": "%(table_name)s_pkey",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
    "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
    "ix": "%(table_name)s_%(column_0_N_name)s_idx",
    "ck": "%(table_name)s_%(constraint_name)s_check",
}


# How long a process may go on with what it read of a workspace, when another replica heard of a change.
REMEMBER_SECONDS = 5.0
REMEMBERED = 10_000


def metadata_of(schema: str) -> MetaData:
    """A schema's own metadata, the chassis's tables in it: SQLModel's is global, and would mix the parts' tables."""
    metadata = MetaData(schema=schema, naming_convention=NAMES)
    tables.declare(metadata)
    return metadata


class Row(SQLModel):
    """What every tenant table begins with. The key starts with the workspace, as its policy asks."""

    workspace_id: UUID = Field(primary_key=True)
    id: UUID = Field(default_factory=new_id, primary_key=True)


def enum_column(kind: type[StrEnum], name: str, **options: Any) -> Column[Any]:
    """Text with a CHECK: a new value is a migration of one constraint, not of a type."""
    values = Enum(
        kind, native_enum=False, create_constraint=True, length=40, name=name,
        values_callable=lambda members: [member.value for member in members],
    )  # fmt: skip
    return Column(name, values, nullable=options.pop("nullable", False), **options)


class Enums(TypeDecorator[list[Any]]):
    """An array of text whose items are an enum's values."""

    impl = ARRAY(Text)
    cache_ok = True

    def __init__(self, kind: type[StrEnum]) -> None:
        super().__init__()
        self.kind = kind

    def process_bind_param(self, value: list[Any] | None, dialect: Any) -> list[str] | None:
        return value and [self.kind(each).value for each in value]

    def process_result_value(self, value: list[str] | None, dialect: Any) -> list[Any] | None:
        return value and [self.kind(each) for each in value]


def instant_column(name: str, **options: Any) -> Column[Any]:
    return Column(name, DateTime(timezone=True), nullable=options.pop("nullable", False), **options)


RowType = TypeVar("RowType", bound=Row)


def of_tenant(workspace_id: UUID) -> str:
    """Makes a transaction one workspace's. It ends with the transaction, so that a pooled connection never brings the
    last tenant along; a UUID's text holds nothing that could end a literal."""
    return f"SELECT set_config('mops.workspace', '{workspace_id}', true)"


def workspace_of(source: Source) -> UUID:
    workspace_id: UUID = source.info["workspace_id"]
    return workspace_id


async def zone_of(source: Source) -> str:
    """The IANA zone that the workspace's days are in."""
    database: Database = source.info["database"]
    return (await database.workspace(source)).zone


async def get_row(session: AsyncSession, model: type[RowType], row_id: UUID, *, lock: bool = False) -> RowType:
    """The workspace's row with this id, held until the transaction ends if asked; NotFound if there is none."""
    row = await session.get(model, (workspace_of(session), row_id), with_for_update=lock)
    if row is None:
        raise NotFound(f"no {str(model.__tablename__).replace('_', ' ')} {row_id}")
    return row


async def add_row(session: AsyncSession, row: Row) -> None:
    """Adds a row, and finds out at once what the database has against it."""
    session.add(row)
    await session.flush()


@dataclass(frozen=True)
class Workspace:
    """What every part keeps of a workspace: its IANA zone, and its ISO 4217 reporting currency."""

    zone: str
    currency: str


_WORKSPACE = text("SELECT zone, currency FROM workspace WHERE workspace_id = :id").columns(zone=Text, currency=Text)


_UNWATCHED = nullcontext()


class Database:
    """One login role, and the kinds of transaction that it is used for."""

    def __init__(self, url: SecretStr, worker_role: str, pool: int, part: str, clock: Callable[[], datetime]) -> None:
        self._connections = Connections(url, pool)
        self.engine = self._connections.engine
        self.worker_role = worker_role
        self._workspaces: dict[UUID | None, tuple[float, Workspace]] = {}
        self.clock = clock
        # Who acts where nobody calls.
        self.actor = f"system:{part}"
        self.subscribers: list[str] = []
        self.after_commit: Callable[[], None] = lambda: None
        # Around each statement of a Reader, which SQLAlchemy's events don't see.
        self.watch_read: Callable[[str], AbstractContextManager[Any]] = lambda _: _UNWATCHED

    async def close(self) -> None:
        await self.engine.dispose()

    @asynccontextmanager
    async def _transaction(self, first: str) -> AsyncIterator[AsyncSession]:
        """`first` goes along with its beginning."""
        async with AsyncSession(self.engine, expire_on_commit=False, sync_session_class=AuditedSession) as session:
            session.info.update(
                database=self, subscribers=self.subscribers, clock=self.clock, actor=self.actor, operation="",
                request_id="", first=first,
            )  # fmt: skip
            async with session.begin():
                yield session
            self._workspaces.pop(session.info.get("learned"), None)
            if session.info.get("recorded"):
                self.after_commit()

    @asynccontextmanager
    async def tenant(self, workspace_id: UUID) -> AsyncIterator[AsyncSession]:
        """A transaction that sees one workspace, committed at the end of the block."""
        async with self._transaction(of_tenant(workspace_id)) as session:
            session.info["workspace_id"] = workspace_id
            yield session

    @asynccontextmanager
    async def caller(self, who: Principal, operation: str = "", request_id: str = "") -> AsyncIterator[AsyncSession]:
        """The same, for a caller's workspace and in their name: Unavailable until the event that announces the
        workspace has arrived."""
        workspace_id = who.workspace_id
        async with self.tenant(workspace_id) as session:
            session.info.update(actor=who.subject, operation=operation, request_id=request_id)
            await self.workspace(session)
            yield session

    @asynccontextmanager
    async def reading(self, workspace_id: UUID) -> AsyncIterator[Reader]:
        """A read-only transaction that sees one workspace, without the ORM. Unavailable as for `caller`."""
        reader = await self.begin_reading(workspace_id)
        try:
            await self.workspace(reader)
            yield reader
        finally:
            await reader.end()

    async def begin_reading(self, workspace_id: UUID) -> Reader:
        """The same, for whoever sees to its end, and to whether the workspace is known."""
        reader = Reader(await self._connections.take(), {"workspace_id": workspace_id, "database": self})
        await reader.begin("BEGIN READ ONLY; " + of_tenant(workspace_id))
        return reader

    @asynccontextmanager
    async def driving(self, workspace_id: UUID, first: str = "") -> AsyncIterator[Any]:
        """A transaction that sees one workspace on the driver itself, for what is written in bulk; committed at the end
        of the block. `first` are statements without parameters that go along with its beginning."""
        pooled = await self._connections.take()
        connection: Any = pooled.driver_connection
        try:
            await connection.execute(f"BEGIN; {of_tenant(workspace_id)}; {first}")
            yield connection
            await connection.execute("COMMIT")
        except Exception:
            if connection.is_in_transaction():
                try:
                    await connection.execute("ROLLBACK")
                except BaseException:
                    pooled.invalidate()
                    raise
            raise
        except BaseException:
            # Cancelled in the middle of something: the server ends it with the connection.
            pooled.invalidate()
            raise
        finally:
            pooled.close()

    async def workspace(self, source: Source) -> Workspace:
        """The transaction's workspace, as it was at most REMEMBER_SECONDS ago; Unavailable until it is announced."""
        workspace_id = workspace_of(source)
        until, known = self._workspaces.get(workspace_id, (0.0, None))
        if known is None or until < time.monotonic():
            row = (await source.execute(_WORKSPACE, {"id": workspace_id})).one_or_none()
            if row is None:
                raise Unavailable("this workspace isn't known here yet; it is on its way", code="workspace_unknown")
            known = Workspace(row.zone, row.currency)
            if len(self._workspaces) >= REMEMBERED:
                self._workspaces.clear()
            self._workspaces[workspace_id] = (time.monotonic() + REMEMBER_SECONDS, known)
        return known

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[AsyncSession]:
        """A transaction across workspaces, over the few tables that the worker role may touch."""
        async with self._transaction(f'SET LOCAL ROLE "{self.worker_role}"') as session:
            yield session


@asynccontextmanager
async def as_owner(admin_dsn: str, stack: str, part: str) -> AsyncIterator[AsyncSession]:
    """A transaction of the role that owns a part's schema, over all its rows: for seeds, never for requests."""
    engine = engine_to(admin_dsn)
    try:
        async with AsyncSession(engine) as session, session.begin():
            await session.execute(text(f'SET LOCAL ROLE "{stack}_owner"'))
            await session.execute(text(f'SET LOCAL search_path TO "{part}"'))
            session.info["subscribers"] = Settings(part=part).subscribers
            yield session
    finally:
        await engine.dispose()


def calling(request: Request, principal: Principal) -> AbstractAsyncContextManager[AsyncSession]:
    """A transaction for this request, where a handler opens its own."""
    database: Database = request.app.state.database
    return database.caller(principal, request.scope["route"].name, request.state.request_id)


async def _session(request: Request, principal: CurrentPrincipal) -> AsyncIterator[AsyncSession]:
    async with calling(request, principal) as session:
        await claim(request, session, principal.subject, request.app.state.clock())
        yield session


async def _reader(request: Request) -> Reader:
    database: Database = request.app.state.database
    # The route's scope, which comes before its parameters, has found who calls; to ask again costs as much as the read.
    principal: Principal = request.state.principal
    reader = await database.begin_reading(principal.workspace_id)
    # As a dependency that yields would end, at a fraction of what FastAPI takes over one.
    request.scope["fastapi_function_astack"].push_async_callback(reader.end)
    await database.workspace(reader)
    return reader


# "function" ends the dependency, and so commits, before the answer leaves; the default commits after it.
Session = Annotated[AsyncSession, Depends(_session, scope="function")]
# What a GET asks for in place of a Session.
Reading = Annotated[Reader, Depends(_reader)]


async def _now(request: Request) -> datetime:
    clock: Callable[[], datetime] = request.app.state.clock
    return clock()


Now = Annotated[datetime, Depends(_now)]


def system_clock() -> datetime:
    return datetime.now(UTC)
