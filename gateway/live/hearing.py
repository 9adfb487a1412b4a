"""Decides how a process hears of what is new, once for all who listen here: one connection that is told of it, one
reader that fetches it, and a short queue for each listener.

A workspace's `last` position only rises once all up to it is read and handed out. So a listener who has caught up with
it, and is added before anything else runs, neither misses anything nor hears it twice.
"""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy.exc import SQLAlchemyError
from starlette.datastructures import State

from chassis.db import Database
from chassis.errors import Unavailable
from chassis.measures import Measures
from chassis.problems import told
from chassis.tokens import Principal
from gateway.failures import GraphFailure
from gateway.happening.actions import KEPT
from gateway.happening.models import cursor_of
from gateway.happening.store import CHANNEL
from gateway.live import store
from gateway.live.rules import AWAY, EXPIRED, FELL_BEHIND, SUSPENDED, End, Wanted
from gateway.live.store import PAGE, Heard

log = logging.getLogger("mops.live")

# What a listener may not have taken yet; one who lets more come together is too slow.
MOST_WAITING = 1000
# Whatever was missed by the connection that is told, and whose time is up, is found out this often.
LOOK_SECONDS = 2.0
SHORTEST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
# Who come back after a break read what they missed; not all of them at once.
REPLAYS = 2
# Of one client, sockets and streams alike, on this process.
MOST_GUESTS = 500
# Writers to a workspace wait for each other no longer than a statement may take, so that what follows an event came in
# at most that much before it.
TURNS = timedelta(minutes=1)

DATABASE_PROBLEMS = (SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError, Unavailable)


class Guest:
    """Somebody who is connected, for as long as their token lasts. `ended` says why they have to go; `cursor` is where
    things stood when they came in."""

    def __init__(self, principal: Principal, room: "_Room", cursor: str) -> None:
        self.principal = principal
        self.room = room
        self.cursor = cursor
        self.ended: asyncio.Future[End] = asyncio.get_running_loop().create_future()

    def end(self, why: End) -> None:
        if not self.ended.done():
            self.ended.set_result(why)

    async def stay(self, *doing: Coroutine[Any, Any, None]) -> None:
        """Does all of this until any of it is done, or they have to go. Raises what went wrong."""
        tasks = [asyncio.ensure_future(each) for each in doing]
        waited: list[asyncio.Future[Any]] = [*tasks, self.ended]
        try:
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        finally:
            wrong = await let_go(tasks)
        for each in wrong:
            raise each


async def let_go(tasks: Collection[asyncio.Task[None]]) -> list[Exception]:
    """Ends tasks; what went wrong in those that had ended by themselves."""
    for task in tasks:
        task.cancel()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    return [each for each in ends if isinstance(each, Exception)]


class Listener:
    """What waits to be told to somebody. `position`: the last that they were offered, wanted or not."""

    def __init__(self, guest: Guest, wanted: Wanted, position: int) -> None:
        self.guest = guest
        self._wanted = wanted
        self._position = position
        self._waiting: deque[Heard] = deque()
        self._came = asyncio.Event()

    def offer(self, heard: Heard) -> bool:
        """Never waits: whoever is too slow has to go, and holds up nobody."""
        if heard.position <= self._position:
            return True
        self._position = heard.position
        if not self._wanted.wants(heard.part, heard.type, heard.subject):
            return True
        if len(self._waiting) >= MOST_WAITING:
            self._waiting.clear()
            self.guest.end(FELL_BEHIND)
            return False
        self._waiting.append(heard)
        self._came.set()
        return True

    async def next(self) -> Heard:
        while not self._waiting:
            self._came.clear()
            await self._came.wait()
        return self._waiting.popleft()


@dataclass(eq=False)
class _Room:
    """A workspace that somebody here listens to, or is about to."""

    opening: asyncio.Lock = field(default_factory=asyncio.Lock)
    last: int | None = None
    inside: int = 0
    listeners: set[Listener] = field(default_factory=set)


class Hearing:
    """All who listen on this process. Until somebody does, it costs nothing."""

    def __init__(self, database: Database, dsn: str, clock: Callable[[], datetime], measures: Measures) -> None:
        self._database = database
        self._dsn = dsn
        self._clock = clock
        self._measures = measures
        self._rooms: dict[UUID, _Room] = {}
        self._guests: set[Guest] = set()
        self._clients: Counter[tuple[UUID, str]] = Counter()
        # Workspaces in which something is new; a dict, so that each waits its turn once.
        self._new: dict[UUID, None] = {}
        self._woken = asyncio.Event()
        self._replays = asyncio.Semaphore(REPLAYS)
        self._tasks: list[asyncio.Task[None]] = []

    @asynccontextmanager
    async def guest(self, principal: Principal) -> AsyncIterator[Guest]:
        """Somebody for as long as they are connected. Raises GraphFailure when their client is here too often, or it
        can't be said where things stand."""
        workspace = principal.workspace_id
        client = workspace, principal.subject
        if self._clients[client] >= MOST_GUESTS:
            raise GraphFailure("TOO_MANY_CONNECTIONS", f"a client has {MOST_GUESTS} sockets and streams at most")
        if not self._tasks:
            self._tasks = [asyncio.create_task(each()) for each in (self._listen, self._read, self._look)]
        room = self._rooms.setdefault(workspace, _Room())
        room.inside += 1
        self._clients[client] += 1
        try:
            guest = Guest(principal, room, cursor_of(await self._open(workspace, room), self._clock()))
            self._guests.add(guest)
            try:
                yield guest
            finally:
                self._guests.discard(guest)
                why = guest.ended.result().code if guest.ended.done() else "LEFT"
                self._measures.live_closed.labels(why).inc()
        finally:
            self._clients[client] -= 1
            if not self._clients[client]:
                del self._clients[client]
            room.inside -= 1
            if not room.inside:
                del self._rooms[workspace]

    async def _open(self, workspace: UUID, room: _Room) -> int:
        async with room.opening:
            if room.last is None:
                try:
                    async with self._database.reading(workspace) as reader:
                        room.last = await store.newest(reader)
                except DATABASE_PROBLEMS as problem:
                    log.warning("live_not_opened", extra={"why": told(problem)})
                    raise GraphFailure(AWAY.code, AWAY.words) from None
                # What was committed meanwhile may have been told of before anybody could look at it.
                self._wake(workspace)
            return room.last

    async def hear(
        self, guest: Guest, wanted: Wanted, after: tuple[int, datetime] | None
    ) -> AsyncGenerator[Heard, None]:
        """What happened after a position, then what happens, one by one, until the guest has to go. Raises
        GraphFailure."""
        room, listener = guest.room, None
        position = room.last or 0
        if after is not None:
            position, at = after
            if at < self._clock() - KEPT + TURNS:
                words = "what followed on this cursor is no longer kept: ask for the state, and subscribe anew"
                raise GraphFailure("CURSOR_TOO_OLD", words)
        self._measures.live_open.inc()
        try:
            while position < (upto := room.last or 0):
                async with self._replays, self._database.reading(guest.principal.workspace_id) as reader:
                    page = await store.heard(reader, position, upto)
                position = page[-1].position if len(page) == PAGE else upto
                for each in page:
                    if wanted.wants(each.part, each.type, each.subject):
                        yield each
            listener = Listener(guest, wanted, position)
            room.listeners.add(listener)
            while True:
                yield await listener.next()
        except DATABASE_PROBLEMS as problem:
            log.warning("live_not_replayed", extra={"why": told(problem)})
            guest.end(AWAY)
        finally:
            self._measures.live_open.dec()
            if listener is not None:
                room.listeners.discard(listener)

    def _wake(self, *workspaces: UUID) -> None:
        for each in workspaces:
            self._new[each] = None
        self._woken.set()

    async def _listen(self) -> None:
        """Is told by Postgres of what is new."""
        pause = SHORTEST_PAUSE
        while True:
            connection: Any = None
            try:
                connection = await asyncpg.connect(self._dsn, timeout=5)
                lost = asyncio.Event()
                connection.add_termination_listener(lambda _, lost=lost: lost.set())
                await connection.add_listener(CHANNEL, self._told)
                pause = SHORTEST_PAUSE
                self._wake(*self._rooms)
                await lost.wait()
            except Exception as problem:  # whatever it is, those who listen wait for the next try
                log.warning("live_not_listening", extra={"why": told(problem)})
            finally:
                if connection is not None:
                    connection.terminate()
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    def _told(self, _: object, __: int, ___: str, workspace: object) -> None:
        with suppress(ValueError):
            known = UUID(str(workspace))
            if known in self._rooms:
                self._wake(known)

    async def _read(self) -> None:
        """Fetches what is new, a page of one workspace after the other, and hands it out."""
        pause = SHORTEST_PAUSE
        while True:
            await self._woken.wait()
            if not self._new:
                self._woken.clear()
                continue
            workspace = next(iter(self._new))
            del self._new[workspace]
            room = self._rooms.get(workspace)
            if room is None or room.last is None:
                continue
            try:
                async with self._database.reading(workspace) as reader:
                    page = await store.heard(reader, room.last)
            except Exception as problem:
                log.warning("live_not_read", extra={"why": told(problem)})
                self._wake(workspace)
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
                continue
            pause = SHORTEST_PAUSE
            self._hand_out(room, page)
            if len(page) == PAGE:
                self._wake(workspace)

    def _hand_out(self, room: _Room, page: list[Heard]) -> None:
        """In one go: nobody comes in while `last` and what was handed out differ."""
        for listener in list(room.listeners):
            if not all(map(listener.offer, page)):
                room.listeners.discard(listener)
        if page:
            room.last = page[-1].position

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.look()
            except Exception as problem:
                log.warning("live_not_looked", extra={"why": told(problem)})

    async def look(self) -> None:
        """Sends away those whose token has ended or whose workspace was suspended; finds what was missed."""
        now = self._clock().timestamp()
        for guest in self._guests:
            if guest.principal.expires_at <= now:
                guest.end(EXPIRED)
        workspaces = {guest.principal.workspace_id for guest in self._guests}
        if not workspaces:
            return
        async with self._database.worker() as session:
            found = await store.look(session, workspaces)
        for each in found:
            room = self._rooms.get(each.workspace_id)
            if room is not None and room.last is not None and (each.position or 0) > room.last:
                self._wake(each.workspace_id)
        closed = {each.workspace_id for each in found if not each.is_open}
        for guest in self._guests:
            if guest.principal.workspace_id in closed:
                guest.end(SUSPENDED)

    async def stop(self) -> None:
        await let_go(self._tasks)


@asynccontextmanager
async def hearing(state: State) -> AsyncIterator[Hearing]:
    opened = Hearing(
        state.database, state.settings.database_url.get_secret_value(), lambda: state.clock(), state.measures
    )
    try:
        yield opened
    finally:
        await opened.stop()
