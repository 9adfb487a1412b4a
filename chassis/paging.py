"""Decides how lists are read: page by page, by a batch of ids, or a page for each of many parents in one query."""

import base64
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Any, Generic, Literal, TypeVar
from uuid import UUID

import sqlmodel
from fastapi import Depends, Query, Request
from pydantic import BaseModel, Field
from sqlalchemy import Select, SQLColumnExpression, cast, exists, func, select, true, tuple_
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute, aliased
from sqlalchemy.types import Uuid
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
LimitPer = Annotated[
    int | None, Query(ge=1, le=MOST, description="Answer in groups: so many items for each parent that is named.")
]


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


async def grouped(
    session: AsyncSession, model: type[RowType], statement: Select[Any], parent: SQLColumnExpression[Any],
    keys: Sequence[UUID], limit_per: int, asked: Listing,
) -> list[tuple[UUID, list[RowType], str | None]]:  # fmt: skip
    """A page of the statement for each parent, all in one query."""
    if asked.cursor is not None and len(keys) > 1:
        raise Invalid.field("cursor", "a cursor of a group goes with that one parent", "cursor")
    distinct = list(dict.fromkeys(keys))
    wanted = func.unnest(cast(distinct, ARRAY(Uuid))).table_valued("key").render_derived("wanted")
    ordered, columns = _ordered(statement.where(parent == wanted.c.key), model, asked)
    lateral = ordered.limit(limit_per + 1).correlate(wanted).lateral("each")
    each = aliased(model, lateral)
    rows: dict[UUID, list[RowType]] = {key: [] for key in distinct}
    order = [getattr(each, column.key) for column in columns]
    if asked.sort.startswith("-"):
        order = [column.desc() for column in order]
    found = select(wanted.c.key, each).join_from(wanted, lateral, onclause=true()).order_by(*order)
    for key, row in (await session.execute(found)).all():
        rows[key].append(row)
    return [(key, rows[key], _cut(rows[key], limit_per, asked, columns)) for key in distinct]


def filtered(model: type[RowType], **wanted: Sequence[Any]) -> SelectOfScalar[RowType]:
    """Rows of which each named field is one of the values given for it; a field without values filters nothing."""
    statement = sqlmodel.select(model)
    for name, values in wanted.items():
        if values:
            statement = statement.where(getattr(model, name).in_(values))
    return statement


@dataclass(frozen=True)
class Parent:
    """What rows can hang on: the column that names the parent, the ids that a caller named, and how the column's table
    is joined where it isn't the rows' own."""

    column: Any
    ids: Sequence[UUID]
    join: tuple[Any, Any] | None = None

    def narrow(self, statement: Select[Any]) -> Select[Any]:
        """Only rows of the parents that were named, if any were."""
        if not self.ids:
            return statement
        named = self.column.in_(self.ids)
        return statement.where(exists().where(self.join[1], named) if self.join else named)


async def listed(
    request: Request, session: AsyncSession, model: type[RowType], statement: Select[Any], asked: Listing,
    limit_per: int | None, read: Callable[[list[RowType]], Awaitable[list[Any]]], **parents: Parent,
) -> Page[Any] | Groups[Any]:  # fmt: skip
    """What every list answers: a page of the statement's rows that hang on the parents named; or, with `limit_per`, a
    page for each id of the parent that is named first in the URL. One query, and one `read` of all the rows."""
    by = next((name for name in request.query_params if name in parents), None) if limit_per else None
    for name, each in parents.items():
        # Grouping says of its own parent what the filter would; said twice, the planner may sort all rows at once.
        statement = statement if name == by else each.narrow(statement)
    if limit_per is None:
        rows, next_cursor = await page(session, model, statement, asked)
        return Page(items=await read(rows), next_cursor=next_cursor)
    if by is None:
        raise Invalid.field("limit_per", f"name what to group by: {' or '.join(parents)}", "no_parent")
    parent = parents[by]
    if parent.join:
        statement = statement.join(*parent.join)
    found = await grouped(session, model, statement, parent.column, parent.ids, limit_per, asked)
    items = iter(await read([row for _, rows, _ in found for row in rows]))
    return Groups(
        groups=[Group(key=key, items=[next(items) for _ in rows], next_cursor=more) for key, rows, more in found]
    )
