"""Decides how rows are read for answers: in a read-only transaction of one workspace, on the driver, without the ORM.

The ORM costs several times what the query does. What is read here looks like its model and can't be written back.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

import asyncpg
from sqlalchemy import Enum, Executable, TypeDecorator
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.pool import PoolProxiedConnection
from sqlalchemy.sql.elements import ClauseElement
from sqlalchemy.types import TypeEngine

_DIALECT: Any = PGDialect_asyncpg()  # type: ignore[no-untyped-call]

RowType = TypeVar("RowType")


class Record(asyncpg.Record):
    """A row of the driver's whose columns are attributes too, as they are on SQLAlchemy's."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


class Records(list[Any]):
    """Rows, with what is called on SQLAlchemy's results."""

    def all(self) -> "Records":
        return self

    def one_or_none(self) -> Any:
        return self[0] if self else None


@dataclass(frozen=True)
class Prepared:
    """A statement as the driver takes it. `places` are its parameters' names, `columns` what a row holds."""

    sql: str
    places: tuple[str, ...]
    given: Mapping[str, Any]
    columns: tuple[str, ...]
    decode: tuple[tuple[str, Callable[[Any], Any]], ...]

    def arguments(self, parameters: Mapping[str, Any]) -> list[Any]:
        return [parameters[name] if name in parameters else self.given[name] for name in self.places]


def prepare(statement: ClauseElement) -> Prepared:
    """Compiles a statement once; its parameters are `bindparam`s."""
    compiled: Any = statement.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})
    found = [(entry.keyname, entry.type) for entry in compiled._result_columns or ()]
    return Prepared(
        compiled.string, tuple(compiled.positiontup or ()), compiled.params, tuple(name for name, _ in found),
        tuple((name, decode) for name, kind in found if (decode := _decoder(kind)) is not None),
    )  # fmt: skip


def _decoder(kind: TypeEngine[Any]) -> Callable[[Any], Any] | None:
    """What makes of the driver's value what the ORM would; most need nothing."""
    if isinstance(kind, Enum) and kind.enum_class is not None:
        return {member.value: member for member in kind.enum_class}.get
    if isinstance(kind, TypeDecorator) and type(kind).process_result_value is not TypeDecorator.process_result_value:
        return lambda value: kind.process_result_value(value, _DIALECT)
    return None


@cache
def plain(model: Any) -> Any:
    """A class with a model's properties and nothing of the ORM's: what its rows are when they are only read."""
    properties = {name: value for name, value in vars(model).items() if isinstance(value, property)}
    return type(model.__name__, (), properties)


class Reader:
    """What reads in one transaction; see `Database.begin_reading`."""

    def __init__(self, pooled: PoolProxiedConnection, info: dict[str, Any]) -> None:
        self._pooled = pooled
        self._connection: Any = pooled.driver_connection
        self.info = info

    async def begin(self, statement: str) -> None:
        try:
            await self._connection.execute(statement)
        except BaseException:
            self._drop()
            raise

    async def end(self) -> None:
        """Ends the transaction and gives its connection back."""
        try:
            await self._connection.execute("COMMIT")
        except BaseException:
            self._drop()
            raise
        self._pooled.close()

    def _drop(self) -> None:
        self._pooled.invalidate()
        self._pooled.close()

    async def execute(self, statement: Executable, parameters: Mapping[str, Any] = {}) -> Records:
        """As a session's, for statements that are made once: each is compiled once and kept for good."""
        return Records(await self._fetch(_kept(statement), parameters))

    async def rows(self, prepared: Prepared, model: type[RowType], parameters: Mapping[str, Any]) -> list[RowType]:
        """What a statement over a model's columns finds, as rows that have the model's properties."""
        kind = _plain_of(model)
        found: list[RowType] = []
        for record in await self._fetch(prepared, parameters):
            values = dict(zip(prepared.columns, record, strict=True))
            for name, decode in prepared.decode:
                values[name] = decode(values[name])
            row = object.__new__(kind)
            row.__dict__ = values
            found.append(row)
        return found

    async def _fetch(self, prepared: Prepared, parameters: Mapping[str, Any]) -> list[Any]:
        with self.info["database"].watch_read(prepared.sql):
            found: list[Any] = await self._connection.fetch(
                prepared.sql, *prepared.arguments(parameters), record_class=Record
            )
        return found


_kept: Any = cache(prepare)
_plain_of: Any = plain

Source = AsyncSession | Reader
