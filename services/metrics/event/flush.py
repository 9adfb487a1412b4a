"""Decides when posts are committed: as many as queued up while the last were, and each with an honest answer."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from chassis.errors import Unavailable
from services.metrics.event.rules import Reading

log = logging.getLogger("mops.flush")

MOST_QUEUED_BYTES = 64_000_000
MOST_EVENTS = 10_000
FLUSHES = 2


@dataclass(eq=False)
class Post:
    """One webhook post that its platform signed, and whether it became durable."""

    source_id: UUID
    received_at: datetime
    reading: Reading
    size: int
    stored: "asyncio.Future[bool]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())


Commit = Callable[[UUID, Sequence[Post]], Awaitable[None]]


class Flusher:
    """A bounded queue in front of the database, without a timer: each flush takes whatever queued during the last.

    Each workspace has a lane of its own and each flush one transaction of one workspace. A transaction that spanned
    several would hold all their locks together, so that one workspace's rebuild would keep the others' platforms
    waiting; and a tenant that never changes within a transaction can't be mistaken.
    """

    def __init__(self, commit: Commit, most_bytes: int = MOST_QUEUED_BYTES, flushes: int = FLUSHES) -> None:
        self._commit = commit
        self._most_bytes = most_bytes
        self._slots = asyncio.Semaphore(flushes)
        self._lanes: dict[UUID, deque[Post]] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._bytes = 0
        self._closing = False
        self.flushes = 0

    def waiting(self, workspace_id: UUID) -> int:
        """How many posts of a workspace wait for the flush after the one that runs."""
        return len(self._lanes.get(workspace_id, ()))

    @contextmanager
    def expecting(self, size: int) -> Iterator[None]:
        """Keeps room for a body while it is taken in: many at once would fill the memory before any is queued."""
        self._assert_room(size)
        self._bytes += size
        try:
            yield
        finally:
            self._bytes -= size

    def _assert_room(self, size: int) -> None:
        """Raises Unavailable when so much more can't wait here; the platform sends it again."""
        if self._closing or (self._bytes and self._bytes + size > self._most_bytes):
            raise Unavailable("too much is waiting to be stored; send it again", code="queue_full")

    async def store(self, workspace_id: UUID, post: Post) -> None:
        """Returns once the post is committed; Unavailable when it couldn't be."""
        self._assert_room(post.size)
        self._bytes += post.size
        lane = self._lanes.get(workspace_id)
        if lane is None:
            lane = self._lanes[workspace_id] = deque()
            task = asyncio.create_task(self._drain(workspace_id, lane))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        lane.append(post)
        if not await post.stored:
            raise Unavailable("this couldn't be stored now; send it again", code="not_stored")

    async def close(self) -> None:
        """Takes nothing more, and waits for what is queued."""
        self._closing = True
        while self._running:
            await asyncio.gather(*self._running)

    async def _drain(self, workspace_id: UUID, lane: deque[Post]) -> None:
        try:
            while lane:
                async with self._slots:
                    posts = _take(lane)
                    await self._flush(workspace_id, posts)
        finally:
            # In the same step in which the lane was found empty: a later post begins another.
            del self._lanes[workspace_id]
            for post in lane:
                self._settle(post, stored=False)

    async def _flush(self, workspace_id: UUID, posts: Sequence[Post]) -> None:
        problem = await self._try(workspace_id, posts)
        if problem is None or len(posts) == 1 or _unreachable(problem):
            for post in posts:
                self._settle(post, stored=problem is None)
            return
        # One of them is to blame; each alone, so that it costs no other.
        reachable = True
        for post in posts:
            problem = await self._try(workspace_id, [post]) if reachable else problem
            reachable = reachable and not (problem and _unreachable(problem))
            self._settle(post, stored=problem is None)

    async def _try(self, workspace_id: UUID, posts: Sequence[Post]) -> Exception | None:
        self.flushes += 1
        try:
            await self._commit(workspace_id, posts)
        except Exception as problem:  # whatever it is, the platform hears of it by the status
            # Without the message: a database's error quotes the row, and a row holds a person's data.
            kind = type(getattr(problem, "orig", None) or problem).__name__
            log.warning("flush_failed", extra={"posts": len(posts), "kind": kind, "unreachable": _unreachable(problem)})
            return problem
        return None

    def _settle(self, post: Post, *, stored: bool) -> None:
        self._bytes -= post.size
        if not post.stored.done():  # a caller who hung up has cancelled it
            post.stored.set_result(stored)


def _take(lane: deque[Post]) -> list[Post]:
    posts = [lane.popleft()]
    events = len(posts[0].reading.events)
    while lane and events + len(lane[0].reading.events) <= MOST_EVENTS:
        events += len(lane[0].reading.events)
        posts.append(lane.popleft())
    return posts


def _unreachable(problem: Exception) -> bool:
    """Whether the next attempt would fare no better, whatever it carries."""
    if isinstance(problem, DBAPIError):
        return problem.connection_invalidated or str(getattr(problem.orig, "sqlstate", None) or "")[:2] in _AWAY
    return isinstance(problem, OSError | PoolTimeout)


# SQLSTATE classes: connection, resources, operator intervention (shutdown), lock not available.
_AWAY = frozenset({"08", "53", "57", "55"})
