"""Decides what pages of lists look like, and how the ORM reads one that is shown otherwise than it is kept."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Any, Generic, Literal, TypeVar
from uuid import UUID

import sqlmodel
from fastapi import Depends, Query
from pydantic import BaseModel, Field
from sqlalchemy import Select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute
from sqlmodel.sql.expression import SelectOfScalar

from chassis.errors import Invalid

MOST = 200

Item = TypeVar("Item")
RowType = TypeVar("RowType")


class Page(BaseModel, Generic[Item]):
    """One page of a list."""

    items: list[Item]
    next_cursor: str | None = Field(None, description="Send it as `cursor` for the next page; null on the last one.")

    @classmethod
    def model_parametrized_name(cls, params: tuple[Any, ...]) -> str:
        return f"{params[0].__name__.removesuffix('Read')}Page"


class Group(BaseModel, Generic[Item]):
    """The first items that belong to one parent."""

    key: UUID = Field(description="The parent's id.")
    items: list[Item]
    next_cursor: str | None = Field(None, description="Send it as `cursor` with this one parent for its next page.")

    @classmethod
    def model_parametrized_name(cls, params: tuple[Any, ...]) -> str:
        return f"{params[0].__name__.removesuffix('Read')}Group"


class Groups(BaseModel, Generic[Item]):
    """A page for each parent asked for, in the order they were asked for."""

    groups: list[Group[Item]]

    @classmethod
    def model_parametrized_name(cls, params: tuple[Any, ...]) -> str:
        return f"{params[0].__name__.removesuffix('Read')}Groups"


Ids = Annotated[list[UUID], Query(max_length=MOST, description=f"Only these, up to {MOST}.")]


@dataclass(frozen=True)
class Listing:
    """What a caller asks of any list."""

    limit: int
    cursor: str | None
    sort: str


def listing(*sortable: str) -> Any:
    """Dependency: `limit`, `cursor` and `sort` of a list that can be sorted by the fields named."""
    choices = tuple(sign + name for name in ("id", *sortable) for sign in ("", "-"))
    sort_type: Any = Literal[choices]

    def read(
        limit: Annotated[int, Query(ge=1, le=MOST, description="Items in a page.")] = 50,
        cursor: Annotated[str | None, Query(max_length=2000, description="`next_cursor` of the page before.")] = None,
        sort: Annotated[sort_type, Query(description="`-` in front: downwards. Ids rise with age.")] = "id",
    ) -> Listing:
        return Listing(limit, cursor, sort)

    return Depends(read)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime | date):
        return value.isoformat()
    return value.value if isinstance(value, StrEnum) else str(value) if isinstance(value, UUID) else value


def encode_cursor(sort: str, *position: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps([sort, *map(_plain, position)]).encode()).decode().rstrip("=")


def decode_cursor(cursor: str, sort: str, kinds: Sequence[Any]) -> list[Any]:
    """The position in a cursor; Invalid when it isn't one of this list in this order."""
    try:
        found, *position = json.loads(
            base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        )
        if found != sort or len(position) != len(kinds):
            raise ValueError
        return [
            kind.fromisoformat(value) if issubclass(kind, date) else kind(value)  # datetime is a date
            for kind, value in zip(kinds, position, strict=True)
        ]
    except (ValueError, TypeError, AttributeError, RecursionError, OverflowError):
        raise Invalid.field("cursor", "not a cursor of this list in this order", "cursor") from None


def _ordered(
    statement: Select[Any], model: type[Any], asked: Listing
) -> tuple[Select[Any], list[InstrumentedAttribute[Any]]]:
    name = asked.sort.removeprefix("-")
    columns = [model.id] if name == "id" else [getattr(model, name), model.id]
    down = asked.sort.startswith("-")
    if asked.cursor is not None:
        # SQLModel's text type decorates the one that knows what it holds.
        kinds = [getattr(column.type, "impl", column.type).python_type for column in columns]
        position = tuple_(*decode_cursor(asked.cursor, asked.sort, kinds))
        after = tuple_(*columns) < position if down else tuple_(*columns) > position
        statement = statement.where(after)
    return statement.order_by(*(column.desc() if down else column.asc() for column in columns)), columns


def _cut(rows: list[Any], most: int, asked: Listing, columns: list[InstrumentedAttribute[Any]]) -> str | None:
    """Takes away the row that was read to see whether there are more; says where the next page begins."""
    if len(rows) <= most:
        return None
    del rows[most:]
    return encode_cursor(asked.sort, *(getattr(rows[-1], column.key) for column in columns))


async def page(
    session: AsyncSession, model: type[RowType], statement: Select[Any], asked: Listing
) -> tuple[list[RowType], str | None]:
    """One page of a statement over a model's rows: one query, whatever lies before it."""
    ordered, columns = _ordered(statement, model, asked)
    rows = list((await session.scalars(ordered.limit(asked.limit + 1))).all())
    return rows, _cut(rows, asked.limit, asked, columns)


def filtered(model: type[RowType], **wanted: Sequence[Any]) -> SelectOfScalar[RowType]:
    """Rows of which each named field is one of the values given for it; a field without values filters nothing."""
    statement = sqlmodel.select(model)
    for name, values in wanted.items():
        if values:
            statement = statement.where(getattr(model, name).in_(values))
    return statement
