"""Decides what a transaction is: whose rows it sees, and that it is committed here and nowhere else."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, TypeVar
from uuid import UUID

from fastapi import Depends, Request
from pydantic import SecretStr
from sqlalchemy import Column, DateTime, Enum, MetaData, text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlmodel import Field, SQLModel

from chassis import tables
from chassis.audit import AuditedSession
from chassis.errors import NotFound, Unavailable
from chassis.fields import new_id
from chassis.idempotency import claim
from chassis.identity import CurrentPrincipal, Principal
from chassis.settings import Settings

NAMES = {
    "pk": "%(table_name)s_pkey",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
    "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
    "ix": "%(table_name)s_%(column_0_N_name)s_idx",
    "ck": "%(table_name)s_%(constraint_name)s_check",
}


# Longer than any caller waits: a statement that runs on for nobody would keep its connection from everybody.
STATEMENT_SECONDS = 30


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


def instant_column(name: str, **options: Any) -> Column[Any]:
    return Column(name, DateTime(timezone=True), nullable=options.pop("nullable", False), **options)


RowType = TypeVar("RowType", bound=Row)


async def set_tenant(session: AsyncSession, workspace_id: UUID) -> None:
    """Makes this transaction one workspace's. The setting ends with the transaction, so that a pooled connection
    never brings the last tenant along."""
    await session.execute(text("SELECT set_config('mops.workspace', :id, true)"), {"id": str(workspace_id)})
    session.info["workspace_id"] = workspace_id


def workspace_of(session: AsyncSession) -> UUID:
    workspace_id: UUID = session.info["workspace_id"]
    return workspace_id


async def zone_of(session: AsyncSession) -> str:
    """The IANA zone that the workspace's days are in."""
    found = text("SELECT zone FROM workspace WHERE workspace_id = :id")
    return str(await session.scalar(found, {"id": workspace_of(session)}))


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


class Database:
    """One pool of one login role, and the three kinds of transaction that it is used for."""

    def __init__(self, url: SecretStr, worker_role: str, pool: int, part: str, clock: Callable[[], datetime]) -> None:
        address = make_url(url.get_secret_value()).set(drivername="postgresql+asyncpg")
        # Compiling to machine code never pays on reads as short as these.
        self.engine = create_async_engine(
            address,
            pool_size=pool,
            max_overflow=0,
            pool_timeout=5,
            connect_args={"server_settings": {"jit": "off", "statement_timeout": f"{STATEMENT_SECONDS}s"}},
            # A connection may have died while it lay idle; and what is bound to a statement may be somebody's name.
            pool_pre_ping=True,
            hide_parameters=True,
        )
        self.worker_role = worker_role
        self.clock = clock
        # Who acts where nobody calls.
        self.actor = f"system:{part}"
        self.known_workspaces: set[UUID] = set()
        self.subscribers: list[str] = []
        self.after_commit: Callable[[], None] = lambda: None

    async def close(self) -> None:
        await self.engine.dispose()

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[AsyncSession]:
        async with AsyncSession(self.engine, expire_on_commit=False, sync_session_class=AuditedSession) as session:
            session.info.update(
                subscribers=self.subscribers, clock=self.clock, actor=self.actor, operation="", request_id=""
            )
            async with session.begin():
                yield session
            if session.info.get("recorded"):
                self.after_commit()

    @asynccontextmanager
    async def tenant(self, workspace_id: UUID) -> AsyncIterator[AsyncSession]:
        """A transaction that sees one workspace, committed at the end of the block."""
        async with self._transaction() as session:
            await set_tenant(session, workspace_id)
            yield session

    @asynccontextmanager
    async def caller(self, who: Principal, operation: str = "", request_id: str = "") -> AsyncIterator[AsyncSession]:
        """The same, for a caller's workspace and in their name: Unavailable until the event that announces the
        workspace has arrived."""
        workspace_id = who.workspace_id
        async with self.tenant(workspace_id) as session:
            session.info.update(actor=who.subject, operation=operation, request_id=request_id)
            if workspace_id not in self.known_workspaces:
                known = text("SELECT 1 FROM workspace WHERE workspace_id = :id")
                if not await session.scalar(known, {"id": workspace_id}):
                    raise Unavailable("this workspace isn't known here yet; it is on its way", code="workspace_unknown")
                self.known_workspaces.add(workspace_id)
            yield session

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[AsyncSession]:
        """A transaction across workspaces, over the few tables that the worker role may touch."""
        async with self._transaction() as session:
            await session.execute(text(f'SET LOCAL ROLE "{self.worker_role}"'))
            yield session


@asynccontextmanager
async def as_owner(admin_dsn: str, stack: str, part: str) -> AsyncIterator[AsyncSession]:
    """A transaction of the role that owns a part's schema, over all its rows: for seeds, never for requests."""
    engine = create_async_engine(make_url(admin_dsn).set(drivername="postgresql+asyncpg"))
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


# "function" ends the dependency, and so commits, before the answer leaves; the default commits after it.
Session = Annotated[AsyncSession, Depends(_session, scope="function")]


def _now(request: Request) -> datetime:
    clock: Callable[[], datetime] = request.app.state.clock
    return clock()


Now = Annotated[datetime, Depends(_now)]


def system_clock() -> datetime:
    return datetime.now(UTC)
