"""Decides when posts are committed: as many as queued up while the last were, and each with an honest answer."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from chassis.errors import Unavailable
from services.metrics.event.rules import Reading

log = logging.getLogger("mops.flush")

MOST_QUEUED_BYTES = 64_000_000
MOST_EVENTS = 10_000
FLUSHES = 3
# So many of them of one workspace, the second when so many bytes wait: the database has more than one processor.
OF_ONE = 2
MUCH = 256_000


@dataclass(eq=False)
class Post:
    """One webhook post that its platform signed, and whether it became durable."""

    source_id: UUID
    received_at: datetime
    reading: Reading
    size: int
    # What else is needed to read it again.
    headers: Mapping[str, str] = field(default_factory=dict)
    stored: "asyncio.Future[bool]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())


Commit = Callable[[UUID, Sequence[Post]], Awaitable[None]]


@dataclass(eq=False)
class Lane:
    """A workspace's posts that wait, and how many tasks take from them."""

    posts: deque[Post] = field(default_factory=deque)
    bytes: int = 0
    takers: int = 0


class Flusher:
    """A bounded queue in front of the database, without a timer: each flush takes whatever queued during the last.

    Each workspace has a lane of its own and each flush one transaction of one workspace; of a long lane two go at once.
    A transaction that spanned several would hold all their locks together, so that one workspace's rebuild would keep
    the others' platforms waiting; and a tenant that never changes within a transaction can't be mistaken.
    """

    def __init__(
        self, commit: Commit, most_bytes: int = MOST_QUEUED_BYTES, flushes: int = FLUSHES,
        stored: Callable[[UUID], None] | None = None,
    ) -> None:  # fmt: skip
        self._commit = commit
        self._stored = stored or (lambda _: None)
        self._most_bytes = most_bytes
        self._slots = asyncio.Semaphore(flushes)
        self._lanes: dict[UUID, Lane] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._bytes = 0
        self._closing = False
        self.flushes = 0

    def waiting(self, workspace_id: UUID) -> int:
        """How many posts of a workspace wait for the flush after the one that runs."""
        lane = self._lanes.get(workspace_id)
        return len(lane.posts) if lane else 0

    @contextmanager
    def expecting(self, size: int) -> Iterator[Callable[[int], None]]:
        """Keeps room for a body while it is taken in: many at once would fill the memory before any is queued. What is
        given keeps more, for a body of which nobody has said how long it is."""
        kept = 0

        def keep(more: int) -> None:
            nonlocal kept
            self._assert_room(more)
            self._bytes += more
            kept += more

        try:
            keep(size)
            yield keep
        finally:
            self._bytes -= kept

    def _assert_room(self, size: int) -> None:
        """Raises Unavailable when so much more can't wait here; the platform sends it again."""
        if self._closing or (self._bytes and self._bytes + size > self._most_bytes):
            raise Unavailable("too much is waiting to be stored; send it again", code="queue_full")

    async def store(self, workspace_id: UUID, post: Post) -> None:
        """Returns once the post is committed; Unavailable when it couldn't be."""
        self.queue(workspace_id, post)
        if not await post.stored:
            raise not_stored()

    def queue(self, workspace_id: UUID, post: Post) -> None:
        """The same for who doesn't wait here: `post.stored` tells. Unavailable when there is no room for it."""
        self._assert_room(post.size)
        self._bytes += post.size
        lane = self._lanes.setdefault(workspace_id, Lane())
        lane.posts.append(post)
        lane.bytes += post.size
        if lane.takers == 0 or (lane.takers < OF_ONE and lane.bytes >= MUCH):
            lane.takers += 1
            task = asyncio.create_task(self._drain(workspace_id, lane))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def close(self) -> None:
        """Takes nothing more, and waits for what is queued."""
        self._closing = True
        while self._running:
            await asyncio.gather(*self._running)

    async def _drain(self, workspace_id: UUID, lane: Lane) -> None:
        try:
            while lane.posts:
                async with self._slots:
                    posts = _take(lane)
                    if posts:  # another may have taken them meanwhile
                        await self._flush(workspace_id, posts)
        finally:
            lane.takers -= 1
            if lane.takers == 0:
                # In the same step in which the lane was found empty: a later post begins another.
                del self._lanes[workspace_id]
                for post in lane.posts:
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
            self._stored(workspace_id)
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


def not_stored() -> Unavailable:
    """Why a post isn't acknowledged that didn't become durable."""
    return Unavailable("this couldn't be stored now; send it again", code="not_stored")


def _take(lane: Lane) -> list[Post]:
    posts: list[Post] = []
    events = 0
    while lane.posts and (not posts or events + len(lane.posts[0].reading.events) <= MOST_EVENTS):
        post = lane.posts.popleft()
        events += len(post.reading.events)
        lane.bytes -= post.size
        posts.append(post)
    return posts


def _unreachable(problem: Exception) -> bool:
    """Whether the next attempt would fare no better, whatever it carries."""
    if isinstance(problem, DBAPIError | asyncpg.PostgresError):
        state = getattr(getattr(problem, "orig", problem), "sqlstate", None)
        return getattr(problem, "connection_invalidated", False) or str(state or "")[:2] in _AWAY
    return isinstance(problem, OSError | PoolTimeout | asyncpg.InterfaceError)


# SQLSTATE classes: connection, resources, operator intervention (shutdown), lock not available.
_AWAY = frozenset({"08", "53", "57", "55"})
