"""Decides how a field that isn't on its row is found: what it needs of the row, what is read, what becomes of it.

graphql-core's resolvers and compiled plans are two readers of these. A row is a dict to the one, a struct to the other.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Protocol
from uuid import UUID

import msgspec
from pydantic_core import to_json

from chassis.paging import MOST
from gateway.derive.contract import Operation
from gateway.derive.names import camel
from gateway.derive.pages import Position, Slice, list_of, query_of, wanted
from gateway.failures import GraphFailure
from gateway.reads import Context, Decode, Grouped, Groups, Items, Listed, Page, Queries, Read, Rows, Single

Arguments = dict[str, Any]


def at(row: Any, path: str) -> Any:
    """What a row holds at a dotted path."""
    for name in path.split("."):
        if row is None:
            return None
        row = row.get(name) if isinstance(row, dict) else getattr(row, name)
    return row


def put(row: Any, name: str, value: Any) -> None:
    """Gives a row what it doesn't hold itself."""
    if isinstance(row, dict):
        row[name] = value
    else:
        setattr(row, name, value)


@dataclass(frozen=True, slots=True)
class Asking:
    """What a field asks for with its arguments, for any number of rows. `key` makes of a row's needed values what is
    read, None being nothing; `finish` makes the field's value of what was found and the same values. With `several`
    a row's key is a list of them."""

    read: Read
    key: Callable[..., Any]
    finish: Callable[..., Any] | None = None
    several: bool = False


class Source(Protocol):
    """How a field is found."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Paths of what it needs of its row."""

    @property
    def extra(self) -> Mapping[str, Any]:
        """What a found row must hold besides what is selected of it, with its type."""

    def asking(self, arguments: Arguments) -> Asking:
        """Raises GraphFailure when the arguments make no sense."""

    def envelope(self, row: Any) -> Any:
        """The type of an answer whose rows are of that type."""

    def __hash__(self) -> int: ...


@cache
def as_it_comes(source: Source) -> Decode:
    """Rows as dicts of all that they hold."""
    return msgspec.json.Decoder(source.envelope(dict[str, Any])).decode


async def resolve(source: Source, row: Any, context: Context, arguments: Arguments) -> Any:
    """One field of one row, as graphql-core asks for it."""
    asking = source.asking(arguments)
    values = [at(row, path) for path in source.needs]
    key = asking.key(*values)
    if key is None:
        return None
    found = await context.load(asking.read, key if asking.several else [key], as_it_comes(source))
    value = found if asking.several else found[0]
    return asking.finish(value, *values) if asking.finish else value


def same(key: Any) -> Any:
    return key


@dataclass(frozen=True, eq=False)
class OfList:
    """A page of a whole list."""

    operation: Operation
    needs: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    def envelope(self, row: Any) -> Any:
        return Page[row]

    def asking(self, arguments: Arguments) -> Asking:
        asked = query_of(self.operation, arguments)
        first, start = wanted(arguments, list_of(self.operation.id, asked))
        query = (*asked, *_page(start, "limit", first))
        return Asking(Listed(self.operation), lambda: query, lambda page: Slice.of(page, start))


@dataclass(frozen=True, eq=False)
class ByKey:
    """A row by one of several values that name it."""

    operation: Operation
    names: tuple[str, ...]
    is_id: bool
    needs: tuple[str, ...] = ()

    @property
    def extra(self) -> Mapping[str, Any]:
        return dict.fromkeys(self.names, str)

    def envelope(self, row: Any) -> Any:
        return Items[row]

    def asking(self, arguments: Arguments) -> Asking:
        given = {name: value for name, value in arguments.items() if value is not None}
        if len(given) != 1:
            raise GraphFailure("BAD_USER_INPUT", f"name it by exactly one of: {', '.join(map(camel, self.names))}")
        ((name, value),) = given.items()
        if self.is_id and name == self.names[0]:
            # What isn't an id names nothing; asked for, it would spoil the batch that it is read with.
            value = as_id(value)
        return Asking(Rows(self.operation, name, name), lambda: value or None)


@dataclass(frozen=True, eq=False)
class Alone:
    """What can only be asked for by itself."""

    operation: Operation
    needs: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    def envelope(self, row: Any) -> Any:
        return row

    def asking(self, arguments: Arguments) -> Asking:
        path = tuple((name, str(arguments[name])) for name in self.operation.named("path"))
        key = (path, tuple(query_of(self.operation, arguments)))
        return Asking(Single(self.operation), lambda: key)


@dataclass(frozen=True, eq=False)
class ToMany:
    """The rows that name this one."""

    operation: Operation
    by: str
    key: str
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.key,)

    def envelope(self, row: Any) -> Any:
        return Grouped[row]

    def asking(self, arguments: Arguments) -> Asking:
        asked = query_of(self.operation, arguments)
        first, start = wanted(arguments, list_of(self.operation.id, [*asked, ("by", self.by)]))
        query = (*asked, *_page(start, "limit_per", first))
        # A cursor belongs to one parent, and is refused with several.
        read = Groups(self.operation, self.by, query, most=1 if start.cursor else MOST)
        return Asking(read, same, lambda page, key: Slice.of(page or NOTHING, start))


NOTHING: Page[Any] = Page([])


@dataclass(frozen=True, eq=False)
class ByIds:
    """The rows that this one names."""

    operation: Operation
    ids: str

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.ids,)

    @property
    def extra(self) -> Mapping[str, Any]:
        return {"id": str}

    def envelope(self, row: Any) -> Any:
        return Items[row]

    def asking(self, arguments: Arguments) -> Asking:
        first, start = wanted(arguments, list_of(self.operation.id, [("by", self.ids)]))

        def key(ids: list[str] | None) -> list[str]:
            return (ids or [])[start.skip : start.skip + first]

        def finish(found: list[Any], ids: list[str] | None) -> Slice:
            end = start.skip + len(found)
            # An id that leads nowhere keeps its place, so that cursors stay true.
            places = [start.skip + place for place, row in enumerate(found) if row is not None]
            rows = [row for row in found if row is not None]
            return Slice(rows, places, start, replace(start, skip=end), len(ids or ()) > end)

        return Asking(Rows(self.operation, "id", "id"), key, finish, several=True)


@dataclass(frozen=True, eq=False)
class ById:
    """The row that this one names."""

    operation: Operation
    id: str
    by: str
    match: str

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.id,)

    @property
    def extra(self) -> Mapping[str, Any]:
        return {self.match: str}

    def envelope(self, row: Any) -> Any:
        return Items[row]

    def asking(self, arguments: Arguments) -> Asking:
        return Asking(Rows(self.operation, self.by, self.match), same)


@dataclass(frozen=True, eq=False)
class Hanging:
    """What hangs on a row; with `value`, inside an item that also tells why there is none. With `keyed`, it says whose
    it is."""

    operation: Operation
    key: str
    value: str | None
    keyed: bool
    problem: str
    needs: tuple[str, ...] = ("id",)

    @property
    def extra(self) -> Mapping[str, Any]:
        return {self.key: str} if self.value is None else {self.key: Any} if self.keyed else {}

    def envelope(self, row: Any) -> Any:
        if self.value is None:
            return Items[row]
        fields: list[Any] = [(self.key, str), (self.value, row | None, None), (self.problem, Any, None)]
        return Items[msgspec.defstruct("Item", fields)]  # type: ignore[misc]

    def asking(self, arguments: Arguments) -> Asking:
        read = Rows(self.operation, self.key, self.key, tuple(query_of(self.operation, arguments)))
        return Asking(read, same, self._value if self.value else None)

    def _value(self, item: Any, key: str) -> Any:
        value = None if item is None else at(item, self.value or "")
        if value is None:
            _raise_for(None if item is None else at(item, self.problem), self.operation)
        elif self.keyed:
            put(value, self.key, key)
        return value


@dataclass(frozen=True, eq=False)
class ByQuery:
    """An answer whose arguments differ per row: `bind` says what of the row goes into the query, and where."""

    operation: Operation
    queries: str
    answers: str
    most: int
    bind: Mapping[str, str]
    lists: frozenset[str]

    @property
    def needs(self) -> tuple[str, ...]:
        return tuple(self.bind.values())

    @property
    def extra(self) -> Mapping[str, Any]:
        return {"problem": Any}

    def envelope(self, row: Any) -> Any:
        return msgspec.defstruct("Answers", [("answers", list[row])], rename={"answers": self.answers})

    def asking(self, arguments: Arguments) -> Asking:
        def key(*values: Any) -> bytes:
            bound = {
                name: [value] if name in self.lists and not isinstance(value, list) else value
                for name, value in zip(self.bind, values, strict=True)
            }
            return to_json(arguments | bound)

        return Asking(Queries(self.operation, self.queries, self.most), key, self._value)

    def _value(self, answer: Any, *_: Any) -> Any:
        if answer is not None:
            _raise_for(at(answer, "problem"), self.operation)
        return answer


def _raise_for(problem: Any, operation: Operation) -> None:
    """What is null for a reason says it."""
    if problem:
        code = str(problem.get("code", "unknown")).upper()
        raise GraphFailure(code, str(problem.get("detail", code)), service=operation.service)


def as_id(text: Any) -> str | None:
    """An id as services spell it; None for what can't be one."""
    try:
        return str(UUID(str(text)))
    except ValueError:
        return None


def _page(start: Position, limit: str, first: int) -> list[tuple[str, str]]:
    page = [(limit, str(min(first + start.skip, MOST)))]
    return [*page, ("cursor", start.cursor)] if start.cursor else page
