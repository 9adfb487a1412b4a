"""Decides how a process holds connections to its database: how many, which one is taken, and when one is let go."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

import asyncpg
from pydantic import SecretStr
from sqlalchemy import event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import PoolProxiedConnection

from chassis.audit import AuditedSession

# Longer than any caller waits: a statement that runs on for nobody would keep its connection from everybody.
STATEMENT_SECONDS = 30
# How long a request waits for its turn at a connection: less than its caller does. One that isn't answered in time was
# never begun, and one that waits costs nothing but memory.
WAIT_SECONDS = 15
# How long a connection may lie idle before the next look lets it go: each is a process of the database's.
IDLE_SECONDS = 30.0


def engine_to(url: str, asked: Mapping[str, Any] = {}, **options: Any) -> AsyncEngine:
    """An engine whose URL the driver itself reads: SQLAlchemy would let its query name another user, and hand on words
    for TLS (`sslmode=require`) that the driver knows in a URL alone. `asked` goes to the driver too."""
    place = url.partition("://")[2]
    return create_async_engine(
        "postgresql+asyncpg://", connect_args={"dsn": f"postgresql://{place}", **asked}, **options
    )


class Connection(asyncpg.Connection):
    """The driver's, which tells whose a transaction is along with its beginning, in one round trip for both."""

    first = ""
    idle_since = 0.0

    async def execute(self, query: str, *args: Any, **options: Any) -> str:
        if query != BEGIN:
            return await super().execute(query, *args, **options)
        try:
            return await super().execute(query + self.first)
        except asyncpg.PostgresError:
            # It has begun all the same, and nobody would end it.
            self.terminate()
            raise


# As the driver says it.
BEGIN = "BEGIN;"


@event.listens_for(AuditedSession, "after_begin")
def _say_first(session: Any, _: Any, connection: Any) -> None:
    connection.connection.driver_connection.first = session.info["first"]


class Connections:
    """At most `most` of one login role. The one that was last at work is taken first, as it knows most statements
    already; those that a busy hour needed are let go when it is over."""

    def __init__(self, url: SecretStr, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.engine = engine_to(
            url.get_secret_value(),
            {
                # Compiling to machine code never pays on reads as short as these.
                "server_settings": {"jit": "off", "statement_timeout": f"{STATEMENT_SECONDS}s"},
                "connection_class": Connection,
            },
            pool_size=most,
            max_overflow=0,
            pool_timeout=WAIT_SECONDS,
            pool_use_lifo=True,
            # What is bound to a statement may be somebody's name.
            hide_parameters=True,
        )
        self._idle_only = False
        self._clock = clock
        self._looked = clock()
        event.listen(self.engine.sync_engine, "do_connect", self._may_connect)
        event.listen(self.engine.sync_engine, "checkout", _take)
        event.listen(self.engine.sync_engine, "checkin", self._put_back)

    async def take(self) -> PoolProxiedConnection:
        """One that lies idle is taken without SQLAlchemy's change of stacks, which costs more than all else about it;
        only to make another takes that."""
        return self._idle() or await self.engine.raw_connection()

    def _idle(self) -> PoolProxiedConnection | None:
        pool: Any = self.engine.pool
        if not pool.checkedin():
            return None
        self._idle_only = True
        try:
            idle: PoolProxiedConnection = pool.connect()
            return idle
        except _NoneIdleError:
            return None
        finally:
            self._idle_only = False

    def _may_connect(self, *_: Any) -> None:
        if self._idle_only:
            raise _NoneIdleError

    def _put_back(self, connection: Any, _: Any) -> None:
        if connection is None:  # a gap
            return
        connection.driver_connection.idle_since = now = self._clock()
        if now - self._looked >= IDLE_SECONDS:
            # Not here, where SQLAlchemy would wait for the database's farewell with all of them in hand.
            asyncio.get_running_loop().call_soon(self._let_go)

    def _let_go(self) -> None:
        """Closes those that weren't at work since the last look; the others stay in their order."""
        if self._clock() - self._looked < IDLE_SECONDS:
            return
        lying: list[Any] = []
        while idle := self._idle():
            lying.append(idle)
        # What is closed leaves a gap in the pool, which is to lie below all that live.
        rested = [each for each in lying if each.driver_connection.idle_since <= self._looked]
        for each in rested:
            each.invalidate()
        for each in reversed(lying):
            if each not in rested:
                each.close()
        # After all are back: to look at one isn't its work.
        self._looked = self._clock()


def _take(connection: Any, *_: Any) -> None:
    """Has the pool replace a connection that died while it lay idle, without a round trip to find out; one that lives
    is nobody's."""
    if connection.driver_connection.is_closed():
        raise DisconnectionError
    connection.driver_connection.first = ""


class _NoneIdleError(Exception):
    """What lay idle in the pool was dead."""
