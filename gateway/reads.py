"""Decides how many calls a request's reads become: one per edge, level and arguments, whatever the lists' lengths.

What is asked for at one moment is gathered until nothing more is asked, then read at once; the same thing is read once.
Answers are kept as bytes, and decoded for each shape that somebody wants their rows in.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from operator import attrgetter, itemgetter
from typing import Any, Generic, Protocol, TypeVar

import msgspec
from pydantic_core import from_json

from chassis.paging import MOST
from gateway.derive.contract import Operation
from gateway.upstream import VERB_SECONDS, Query, Upstream

# Siblings ask within so many turns of the loop: graphql-core wraps some of them in more tasks than others.
QUIET_TURNS = 3

Row = TypeVar("Row")


class Items(msgspec.Struct, Generic[Row]):
    """Rows, whatever page they are on."""

    items: list[Row]


class Page(msgspec.Struct, Generic[Row]):
    """Some items of a list, and where the next ones are."""

    items: list[Row]
    next_cursor: str | None = None


class Group(msgspec.Struct, Generic[Row]):
    """The page of one parent."""

    key: str
    items: list[Row]
    next_cursor: str | None = None


class Grouped(msgspec.Struct, Generic[Row]):
    """A page for each parent."""

    groups: list[Group[Row]]


# Makes rows of an answer's bytes: as dicts of all that they hold, or as structs of what somebody looks at.
Decode = Callable[[bytes], Any]


@dataclass(frozen=True)
class Call:
    """What an operation is asked; the body as JSON."""

    path: Mapping[str, str] = field(default_factory=dict)
    query: Query = ()
    body: bytes | None = None


class Read(Protocol):
    """A way to read the values of many keys in one call; equal reads are merged."""

    @property
    def operation(self) -> Operation: ...

    @property
    def most(self) -> int:
        """Keys in one call."""

    def call(self, keys: list[Any]) -> Call: ...

    def found(self, answer: Any, keys: list[Any]) -> Mapping[Any, Any]:
        """Value by key, in a decoded answer; what is missing is None."""

    def __hash__(self) -> int: ...


class Unreadable(Exception):
    """An answer isn't of the wanted shape."""


@dataclass(eq=False)
class Batch:
    """One call: its keys, and the bytes that it answered, or why it didn't."""

    read: Read
    keys: list[Any]
    content: bytes = b""
    failure: Exception | None = None
    _found: dict[Decode, Mapping[Any, Any]] = field(default_factory=dict)

    def found(self, decode: Decode) -> Mapping[Any, Any]:
        """Value by key; raises Unreadable."""
        if decode not in self._found:
            if self.failure is not None:
                return dict.fromkeys(self.keys, self.failure)
            try:
                self._found[decode] = self.read.found(decode(self.content), self.keys)
            except (msgspec.DecodeError, KeyError, ValueError) as problem:
                raise Unreadable(str(problem)) from None
        return self._found[decode]


@dataclass(eq=False)
class _Turn:
    """What is asked of one read at one moment."""

    keys: dict[Any, None]
    batches: list[Batch]
    left: int
    done: asyncio.Future[None]


@dataclass
class Context:
    """One request: who asks, until when, and what has been read."""

    upstream: Upstream
    headers: Mapping[str, str]
    deadline: float = 0.0
    _turns: dict[Read, dict[Any, _Turn]] = field(default_factory=dict)
    _waiting: dict[Read, _Turn] = field(default_factory=dict)
    _asked: int = 0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.deadline = asyncio.get_running_loop().time() + self.upstream.read_seconds

    async def verb(
        self, operation: Operation, path: Mapping[str, str], query: Query, body: Any, headers: Mapping[str, str]
    ) -> Any:
        """Calls an operation that changes something. What was read before is forgotten, and reads have time anew."""
        clock = asyncio.get_running_loop().time
        try:
            content = await self.upstream.call(
                operation, path, query, body, {**self.headers, **headers}, clock() + VERB_SECONDS
            )
        finally:
            self._turns.clear()
            self.upstream.forget(self.headers.get("authorization"))
            self.deadline = clock() + self.upstream.read_seconds
        try:
            return from_json(content) if content else None
        except ValueError:
            raise self.upstream.unreadable(operation) from None

    async def find(self, read: Read, keys: Iterable[Any], decode: Decode) -> Mapping[Any, Any]:
        """Value by key, read together with whatever else is asked for now; a value that couldn't be read is the
        exception that says why. Raises Unreadable when the answer can't be decoded so."""
        known = self._turns.setdefault(read, {})
        turns: dict[_Turn, None] = {}
        new: _Turn | None = None
        for key in keys:
            turn = known.get(key)
            if turn is None:
                turn = known[key] = new = new or self._turn(read)
                turn.keys[key] = None
            turns[turn] = None
        found: Mapping[Any, Any] = {}
        for turn in turns:
            # Whoever waits may be cancelled; others wait for the same.
            if not turn.done.done():
                await asyncio.shield(turn.done)
            for batch in turn.batches:
                more = batch.found(decode)
                found = {**found, **more} if found else more
        return found

    async def load(self, read: Read, keys: list[Any], decode: Decode) -> list[Any]:
        """The keys' values; raises why the first of them couldn't be read."""
        try:
            found = await self.find(read, keys, decode)
        except Unreadable:
            raise self.upstream.unreadable(read.operation) from None
        values = [found.get(key) for key in keys]
        for value in values:
            if isinstance(value, Exception):
                raise value
        return values

    def _turn(self, read: Read) -> _Turn:
        loop = asyncio.get_running_loop()
        self._asked += 1
        if read not in self._waiting:
            if not self._waiting:
                loop.call_soon(self._settle, self._asked, QUIET_TURNS)
            self._waiting[read] = _Turn({}, [], 0, loop.create_future())
        return self._waiting[read]

    def _settle(self, asked: int, turns: int) -> None:
        if turns and asked == self._asked:
            asyncio.get_running_loop().call_soon(self._settle, asked, turns - 1)
        elif asked != self._asked:
            asyncio.get_running_loop().call_soon(self._settle, self._asked, QUIET_TURNS)
        else:
            waiting, self._waiting = self._waiting, {}
            for read, turn in waiting.items():
                keys = list(turn.keys)
                turn.batches = [Batch(read, keys[at : at + read.most]) for at in range(0, len(keys), read.most)]
                turn.left = len(turn.batches)
                for batch in turn.batches:
                    task = asyncio.create_task(self._fetch(batch, turn))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)

    async def _fetch(self, batch: Batch, turn: _Turn) -> None:
        try:
            call = batch.read.call(batch.keys)
            batch.content = await self.upstream.read(
                batch.read.operation, call.path, call.query, call.body, self.headers, self.deadline
            )
        except Exception as problem:  # whatever it is, it belongs to those who wait
            batch.failure = problem
        turn.left -= 1
        if not turn.left and not turn.done.done():
            turn.done.set_result(None)

    async def close(self) -> None:
        """Ends what is still under way."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)


@dataclass(frozen=True)
class Rows:
    """Rows by the value of one of their fields: `?id=a&id=b`."""

    operation: Operation
    by: str
    match: str
    query: tuple[tuple[str, str], ...] = ()
    most: int = MOST

    def call(self, keys: list[Any]) -> Call:
        query = [(self.by, key) for key in keys] + list(self.query)
        if "limit" in self.operation.query:
            query.append(("limit", str(len(keys))))
        return Call(query=query)

    def found(self, answer: Any, keys: list[Any]) -> Mapping[Any, Any]:
        rows = answer.items
        key = itemgetter(self.match) if rows and isinstance(rows[0], dict) else attrgetter(self.match)
        return dict(zip(map(key, rows), rows, strict=True))


@dataclass(frozen=True)
class Groups:
    """A page for each parent: `?campaign_id=a&campaign_id=b&limit_per=10`."""

    operation: Operation
    by: str
    query: tuple[tuple[str, str], ...]
    most: int = MOST

    def call(self, keys: list[Any]) -> Call:
        return Call(query=[(self.by, key) for key in keys] + list(self.query))

    def found(self, answer: Any, keys: list[Any]) -> Mapping[Any, Any]:
        return {group.key: group for group in answer.groups}


@dataclass(frozen=True)
class Listed:
    """One page of a whole list; its key is the query."""

    operation: Operation
    most: int = 1

    def call(self, keys: list[Any]) -> Call:
        return Call(query=keys[0])

    def found(self, answer: Any, keys: list[Any]) -> Mapping[Any, Any]:
        return {keys[0]: answer}


@dataclass(frozen=True)
class Single:
    """An operation that can't be asked for many at once; its key is its path's values and its query."""

    operation: Operation
    most: int = 1

    def call(self, keys: list[Any]) -> Call:
        path, query = keys[0]
        return Call(dict(path), query)

    def found(self, answer: Any, keys: list[Any]) -> Mapping[Any, Any]:
        return {keys[0]: answer}


@dataclass(frozen=True)
class Queries:
    """Answers by query; the key is the query as JSON, so that equal queries are asked once."""

    operation: Operation
    queries: str
    most: int

    def call(self, keys: list[Any]) -> Call:
        return Call(body=b'{"%s":[%s]}' % (self.queries.encode(), b",".join(keys)))

    def found(self, answer: Any, keys: list[Any]) -> Mapping[Any, Any]:
        return dict(zip(keys, answer.answers, strict=True))
