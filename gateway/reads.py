"""Decides how many calls a request's reads become: one per edge, level and arguments, whatever the lists' lengths.

What is asked for at one moment is gathered until nothing more is asked, then read at once; the same thing is read once.
"""

import asyncio
from collections.abc import Awaitable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from chassis.paging import MOST
from gateway.derive.contract import Operation
from gateway.upstream import VERB_SECONDS, Query, Upstream

# Siblings ask within so many turns of the loop: graphql-core wraps some of them in more tasks than others.
QUIET_TURNS = 3


class Read(Protocol):
    """A way to read the values of many keys in one call; equal reads are merged."""

    @property
    def most(self) -> int:
        """Keys in one call."""

    async def fetch(self, context: "Context", keys: list[Any]) -> Mapping[Any, Any]:
        """Value by key; a value that is an exception is raised at whoever asked for it; what is missing is None."""

    def __hash__(self) -> int: ...


@dataclass
class Context:
    """One request: who asks, until when, and what has been read."""

    upstream: Upstream
    headers: Mapping[str, str]
    deadline: float = 0.0
    calls: int = 0
    _values: dict[Read, dict[Any, asyncio.Future[Any]]] = field(default_factory=dict)
    _waiting: dict[Read, dict[Any, asyncio.Future[Any]]] = field(default_factory=dict)
    _asked: int = 0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.deadline = asyncio.get_running_loop().time() + self.upstream.read_seconds

    async def call(
        self, operation: Operation, path: Mapping[str, str] = {}, query: Query = (), body: Any = None
    ) -> Any:
        self.calls += 1
        return await self.upstream.call(operation, path, query, body, self.headers, self.deadline)

    async def verb(
        self, operation: Operation, path: Mapping[str, str], query: Query, body: Any, headers: Mapping[str, str]
    ) -> Any:
        """Calls an operation that changes something. What was read before is forgotten, and reads have time anew."""
        clock = asyncio.get_running_loop().time
        self.calls += 1
        try:
            return await self.upstream.call(
                operation, path, query, body, {**self.headers, **headers}, clock() + VERB_SECONDS
            )
        finally:
            self._values.clear()
            self.deadline = clock() + self.upstream.read_seconds

    def load(self, read: Read, key: Any) -> Awaitable[Any]:
        """The value of one key, read together with the others that are asked for now."""
        values = self._values.setdefault(read, {})
        if key not in values:
            loop = asyncio.get_running_loop()
            values[key] = loop.create_future()
            if not self._waiting:
                loop.call_soon(self._settle, self._asked, QUIET_TURNS)
            self._waiting.setdefault(read, {})[key] = values[key]
            self._asked += 1
        return values[key]

    async def load_all(self, read: Read, keys: Iterable[Any]) -> list[Any]:
        asked = [self.load(read, key) for key in keys]
        return [await each for each in asked]

    def _settle(self, asked: int, turns: int) -> None:
        if turns and asked == self._asked:
            asyncio.get_running_loop().call_soon(self._settle, asked, turns - 1)
        elif asked != self._asked:
            asyncio.get_running_loop().call_soon(self._settle, self._asked, QUIET_TURNS)
        else:
            waiting, self._waiting = self._waiting, {}
            for read, futures in waiting.items():
                keys = list(futures)
                for start in range(0, len(keys), read.most):
                    chunk = {key: futures[key] for key in keys[start : start + read.most]}
                    task = asyncio.create_task(self._fetch(read, chunk))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)

    async def _fetch(self, read: Read, futures: dict[Any, asyncio.Future[Any]]) -> None:
        try:
            found: Mapping[Any, Any] = await read.fetch(self, list(futures))
        except Exception as problem:  # whatever it is, it belongs to those who wait
            found = dict.fromkeys(futures, problem)
        for key, future in futures.items():
            value = found.get(key)
            if future.done():
                continue
            if isinstance(value, Exception):
                future.set_exception(value)
                # Not every future is awaited: a sibling's failure may have ended the field that would have.
                future.exception()
            else:
                future.set_result(value)

    async def close(self) -> None:
        """Ends what is still under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@dataclass(frozen=True)
class Page:
    """Some items of a list, and where the next ones are."""

    items: list[Any]
    next_cursor: str | None


@dataclass(frozen=True)
class Rows:
    """Rows by the value of one of their fields: `?id=a&id=b`."""

    operation: Operation
    by: str
    match: str
    query: tuple[tuple[str, str], ...] = ()
    most: int = MOST

    async def fetch(self, context: Context, keys: list[Any]) -> Mapping[Any, Any]:
        query = [(self.by, key) for key in keys] + list(self.query)
        if "limit" in self.operation.query:
            query.append(("limit", str(len(keys))))
        answer = await context.call(self.operation, query=query)
        return {row[self.match]: row for row in answer["items"]}


@dataclass(frozen=True)
class Groups:
    """A page for each parent: `?campaign_id=a&campaign_id=b&limit_per=10`."""

    operation: Operation
    by: str
    query: tuple[tuple[str, str], ...]
    most: int = MOST

    async def fetch(self, context: Context, keys: list[Any]) -> Mapping[Any, Any]:
        answer = await context.call(self.operation, query=[(self.by, key) for key in keys] + list(self.query))
        return {group["key"]: Page(group["items"], group["next_cursor"]) for group in answer["groups"]}


@dataclass(frozen=True)
class Listed:
    """One page of a whole list; its key is the query."""

    operation: Operation
    most: int = 1

    async def fetch(self, context: Context, keys: list[Any]) -> Mapping[Any, Any]:
        answer = await context.call(self.operation, query=keys[0])
        return {keys[0]: Page(answer["items"], answer["next_cursor"])}


@dataclass(frozen=True)
class Single:
    """An operation that can't be asked for many at once; its key is its path's values and its query."""

    operation: Operation
    most: int = 1

    async def fetch(self, context: Context, keys: list[Any]) -> Mapping[Any, Any]:
        path, query = keys[0]
        return {keys[0]: await context.call(self.operation, dict(path), query)}
