"""Decides how a compiled query runs: in columns, a list per field for all rows of a level, then a struct for each row.

A step gets a column and gives the column of what is answered. Nothing here is called per value except what C does.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, chain, islice
from operator import attrgetter
from typing import Any, Protocol

import msgspec
from graphql import FieldNode, GraphQLError, located_error

from gateway.derive.sources import Arguments, Asking, Source, at
from gateway.failures import GraphFailure
from gateway.reads import Context, Decode

Column = list[Any]
Path = list[str | int]
# Where the value at this place of a column is in the answer; asked for when something is wrong there.
Where = Callable[[int], Path]


@dataclass
class Running:
    """One run of a plan."""

    context: Context
    variables: Any
    errors: list[GraphQLError] = field(default_factory=list)

    def failed(self, problem: Exception, nodes: list[FieldNode], path: Path) -> None:
        self.errors.append(located_error(problem, nodes, path))


class Step(Protocol):
    """Makes a column of what is answered out of a column of what was found; None stays None."""

    async def run(self, column: Column, where: Where, running: Running) -> Column: ...


class AsItIs:
    """What services send is what is answered."""

    async def run(self, column: Column, where: Where, running: Running) -> Column:
        return column


@dataclass(frozen=True)
class Renamed:
    """Values of an enumeration, which the graph spells in its own way."""

    names: Mapping[Any, str | None]

    async def run(self, column: Column, where: Where, running: Running) -> Column:
        return list(map(self.names.__getitem__, column))


@dataclass(frozen=True)
class Each:
    """Lists: all of their values at once."""

    step: Step

    async def run(self, column: Column, where: Where, running: Running) -> Column:
        flat = list(chain.from_iterable(each for each in column if each is not None))
        values = iter(await self.step.run(flat, _inside(column, where), running))
        return [None if each is None else list(islice(values, len(each))) for each in column]


def _inside(column: Column, where: Where) -> Where:
    """Where the values of these lists are, one list after another."""

    def path(place: int) -> Path:
        ends = list(accumulate(0 if each is None else len(each) for each in column))
        owner = next(number for number, end in enumerate(ends) if end > place)
        return [*where(owner), place - (ends[owner] - len(column[owner]))]

    return path


@dataclass
class Objects:
    """Rows: a column for each field, then a struct for each row. Without `made` the rows are the answer already."""

    fields: list["Field"] = field(default_factory=list)
    made: type[msgspec.Struct] | None = None

    async def run(self, column: Column, where: Where, running: Running) -> Column:
        if self.made is None:
            return column
        rows = [row for row in column if row is not None]
        if len(rows) == len(column):
            return await self._answered(rows, where, running)
        places = [place for place, row in enumerate(column) if row is not None]
        answered = iter(await self._answered(rows, lambda place: where(places[place]), running))
        return [None if row is None else next(answered) for row in column]

    async def _answered(self, rows: Column, where: Where, running: Running) -> Column:
        assert self.made is not None  # noqa: S101  # or the rows would be the answer
        if not self.fields:
            return [self.made() for _ in rows]
        # All that is read for these rows is asked for before anything is waited for; whoever reads last needs no task.
        reading = [each for each in self.fields if each.reads]
        under_way = {each.name: asyncio.ensure_future(each.run(rows, where, running)) for each in reading[:-1]}
        try:
            columns = {each.name: await each.run(rows, where, running) for each in reading[-1:]}
            for each in self.fields:
                if each.name in under_way:
                    columns[each.name] = await under_way[each.name]
                elif not each.reads:
                    columns[each.name] = await each.run(rows, where, running)
        except BaseException:
            for task in under_way.values():
                task.cancel()
            await asyncio.gather(*under_way.values(), return_exceptions=True)
            raise
        return list(map(self.made, *(columns[each.name] for each in self.fields)))


class Field(Protocol):
    """One field of all rows of a level. `reads`: whether something is read for it, here or further down."""

    name: str
    reads: bool

    async def run(self, rows: Column, where: Where, running: Running) -> Any: ...


def _at(name: str, where: Where) -> Where:
    return lambda place: [*where(place), name]


@dataclass
class TypeName:
    """`__typename`."""

    name: str
    kind: str
    reads: bool = False

    async def run(self, rows: Column, where: Where, running: Running) -> Column:
        return [self.kind] * len(rows)


@dataclass
class OnRow:
    """A value that the row holds."""

    name: str
    attribute: str
    step: Step
    reads: bool

    async def run(self, rows: Column, where: Where, running: Running) -> Column:
        return await self.step.run(list(map(attrgetter(self.attribute), rows)), _at(self.name, where), running)


@dataclass
class OfRow:
    """What follows from the row alone."""

    name: str
    of: Callable[[Any], Any]
    step: Step
    reads: bool

    async def run(self, rows: Column, where: Where, running: Running) -> Column:
        return await self.step.run(list(map(self.of, rows)), _at(self.name, where), running)


@dataclass
class Read:
    """What is read for the rows: once for all of them."""

    name: str
    nodes: list[FieldNode]
    source: Source
    arguments: Callable[[Any], Arguments]
    step: Step
    decode: Decode
    reads: bool = True

    async def run(self, rows: Column, where: Where, running: Running) -> Column:
        here = _at(self.name, where)
        try:
            asking = self.source.asking(self.arguments(running.variables))
        except GraphFailure as problem:
            for place in range(len(rows)):
                running.failed(problem, self.nodes, here(place))
            return [None] * len(rows)
        needed = self._needed(rows)
        keys = [asking.key(*values) for values in needed]
        wanted = chain.from_iterable(keys) if asking.several else (key for key in keys if key is not None)
        found = await running.context.find(asking.read, wanted, self.decode)
        values = [self._value(asking, found, key, values) for key, values in zip(keys, needed, strict=True)]
        for place, value in enumerate(values):
            if isinstance(value, Exception):
                running.failed(value, self.nodes, here(place))
                values[place] = None
        return await self.step.run(values, here, running)

    def _needed(self, rows: Column) -> Sequence[tuple[Any, ...]]:
        """What of each row it depends on."""
        if not self.source.needs:
            return [()] * len(rows)
        return list(zip(*([at(row, path) for row in rows] for path in self.source.needs), strict=True))

    @staticmethod
    def _value(asking: Asking, found: Mapping[Any, Any], key: Any, values: tuple[Any, ...]) -> Any:
        """One row's value, or why it has none."""
        if key is None:
            return None
        if asking.several:
            value: Any = list(map(found.get, key))
            wrong = next((each for each in value if isinstance(each, Exception)), None)
        else:
            value = found.get(key)
            wrong = value if isinstance(value, Exception) else None
        if wrong is not None or asking.finish is None:
            return wrong or value
        try:
            return asking.finish(value, *values)
        except GraphFailure as problem:
            return problem


@dataclass(frozen=True)
class Plan:
    """One operation, ready to run. `told`: what it looks at of a row that it starts from, as a subscription's does."""

    root: Objects
    told: type[msgspec.Struct] | None = None

    async def run(self, running: Running, row: Any = None) -> msgspec.Struct:
        """The answer; `row` is what happened."""
        start = ROOT if self.told is None else msgspec.convert(row, self.told)
        (answer,) = await self.root.run([start], lambda _: [], running)
        made: msgspec.Struct = answer
        return made


ROOT = object()
