"""Decides how rows become answers: one, a page of them, or a page for each of many parents; each in one query."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any
from uuid import UUID

from fastapi import Response
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import Row, RowType
from chassis.errors import Invalid, NotFound
from chassis.fields import Readable, bare
from chassis.listing import Fields, Listing, ReadType, Rows, order, plan
from chassis.paging import Group, Groups, Page, decode_cursor, encode_cursor
from chassis.reading import Reader, Source

# What finds a field of many rows that isn't on them, by their ids.
Derive = Callable[[Any, Sequence[Any]], Awaitable[Mapping[UUID, Any]]]
# What adds such fields to rows that are only read.
Beside = Callable[[Reader, Sequence[Any]], Awaitable[None]]


def by_id(derive: Derive) -> Derive:
    """Of what needs but the rows' ids."""

    async def derived(source: Source, rows: Sequence[Any]) -> Mapping[UUID, Any]:
        return await derive(source, [row.id for row in rows])

    return derived


def of_row(find: Callable[[Any], Any]) -> Derive:
    """Of what each row tells by itself, though under another name or with what only the caller knows."""

    async def derived(_: Source, rows: Sequence[Any]) -> Mapping[UUID, Any]:
        return {row.id: find(row) for row in rows}

    return derived


def _more(asked: Listing[Any], found: list[Any], most: int) -> str | None:
    """Takes away the row that was read to see whether there are more; says where the next page begins."""
    if len(found) <= most:
        return None
    del found[most:]
    return encode_cursor(asked.sort, *(getattr(found[-1], column.key) for column in order(asked.of, asked.sort)))


async def _find(reader: Reader, asked: Listing[Any], most: int, derived: Collection[str]) -> list[Any]:
    rows = asked.of
    values: dict[str, Any] = {**asked.given, "most": most + 1}
    filters = rows.filters
    only = [name for name in asked.given if name in rows.parents or filters[name].only is not None]
    only = [name for name in only if len(asked.given[name]) == 1]
    values.update((f"only_{name}", asked.given[name][0]) for name in only)
    if asked.cursor is not None:
        # SQLModel's text type decorates the one that knows what it holds.
        kinds = [getattr(each.type, "impl", each.type).python_type for each in order(rows, asked.sort)]
        position = decode_cursor(asked.cursor, asked.sort, kinds)
        values |= {f"at{place}": value for place, value in enumerate(position)}
    columns = rows.needed(asked.fields, asked.sort, derived)
    ways = frozenset(asked.given), frozenset(only), asked.sort, asked.cursor is not None
    statement = plan(rows, *ways, columns, asked.group_by)
    return await reader.rows(statement, rows.model, values)


async def rows_of(reader: Reader, model: type[RowType], ids: Collection[UUID]) -> dict[UUID, RowType]:
    """The rows with these ids, as far as they exist."""
    rows = _only(model, Readable)
    found = await _find(reader, Listing(rows, given={"id": list(ids)}), len(ids), ()) if ids else []
    return {row.id: row for row in found}


async def _read(
    source: Source, read: type[ReadType], fields: Fields, found: Sequence[Any], derived: Mapping[str, Derive]
) -> list[ReadType]:
    asked = {name: derive for name, derive in derived.items() if fields is None or name in fields}
    values = {name: await derive(source, found) for name, derive in asked.items()} if found else {}
    return read.of_all(found, fields, {name: [of.get(row.id) for row in found] for name, of in values.items()})


async def read_row(
    reader: Reader, model: type[Row], row_id: UUID, read: type[ReadType], fields: Fields = None, **derived: Derive
) -> ReadType:
    """The workspace's row with this id, as callers get it; NotFound if there is none."""
    rows = _only(model, read)
    found = await _find(reader, Listing(rows, fields=fields, given={"id": [row_id]}), 1, derived)
    if not found:
        raise NotFound(f"no {str(model.__tablename__).replace('_', ' ')} {row_id}")
    answer: ReadType = sent((await _read(reader, read, fields, found, derived))[0])
    return answer


def sent(made: BaseModel) -> Any:
    """What was built here, as bytes: FastAPI would check it again, and couldn't tell some fields of a page from groups
    of nothing. It passes an answer on as it is."""
    return Response(made.__pydantic_serializer__.to_json(made, by_alias=True), media_type="application/json")


async def reads_of(
    session: AsyncSession, read: type[ReadType], rows: Sequence[Any], **derived: Derive
) -> list[ReadType]:
    """Rows of a transaction that writes, as callers get them."""
    return await _read(session, read, None, rows, derived)


async def read_of(session: AsyncSession, read: type[ReadType], row: Any, **derived: Derive) -> ReadType:
    """A row of a transaction that writes, as callers get it."""
    return (await _read(session, read, None, [row], derived))[0]


@cache
def _only(model: type[Row], read: type[Any]) -> Rows[Any]:
    return Rows(model, read)


async def page(
    reader: Reader, asked: Listing[ReadType], beside: Beside | None = None, /, **derived: Derive
) -> Page[ReadType]:
    """One page of a list: one query, whatever lies before it, and one for each of `derived` that is asked for: a field
    that isn't on the row, and what finds it for many ids. `beside` adds several to the rows at once."""
    found = await _find(reader, asked, asked.limit, derived)
    more = _more(asked, found, asked.limit)
    await _add(reader, asked, found, beside)
    items = await _read(reader, asked.of.read, asked.fields, found, derived)
    answer: Page[ReadType] = sent(page_of(asked.of.read, items, more))
    return answer


async def _add(reader: Reader, asked: Listing[Any], found: Sequence[Any], beside: Beside | None) -> None:
    if beside and found and (asked.fields is None or not asked.fields <= asked.of.columns):
        await beside(reader, found)


async def listed(
    reader: Reader, asked: Listing[ReadType], beside: Beside | None = None, /, **derived: Derive
) -> Page[ReadType] | Groups[ReadType]:
    """What a list whose rows have parents answers: a page; or, with `limit_per`, a page for each id of the parent that
    is named first in the URL, all in one query."""
    if asked.group_by is None or asked.limit_per is None:
        return await page(reader, asked, beside, **derived)
    keys = list(dict.fromkeys(asked.given[asked.group_by]))
    if asked.cursor is not None and len(keys) > 1:
        raise Invalid.field("cursor", "a cursor of a group goes with that one parent", "cursor")
    groups: dict[UUID, list[Any]] = {key: [] for key in keys}
    distinct = replace(asked, given={**asked.given, asked.group_by: keys})
    for row in await _find(reader, distinct, asked.limit_per, derived):
        groups[row.group_key].append(row)
    more = {key: _more(asked, found, asked.limit_per) for key, found in groups.items()}
    each = [row for found in groups.values() for row in found]
    await _add(reader, asked, each, beside)
    items = iter(await _read(reader, asked.of.read, asked.fields, each, derived))
    kind = _group_of(asked.of.read)
    made = [
        bare(kind, {"key": key, "items": [next(items) for _ in found], "next_cursor": more[key]})
        for key, found in groups.items()
    ]
    answer: Groups[ReadType] = sent(bare(_groups_of(asked.of.read), {"groups": made}))
    return answer


def page_of(read: type[ReadType], items: Sequence[ReadType], next_cursor: str | None = None) -> Page[ReadType]:
    """A page of what was built here, and so isn't checked again."""
    kind: type[Page[ReadType]] = _page_of(read)
    return bare(kind, {"items": items, "next_cursor": next_cursor})


# Pydantic looks its generic classes up by a key that takes longer to make than a row does.
@cache
def _page_of(read: Any) -> Any:
    return Page[read]


@cache
def _group_of(read: Any) -> Any:
    return Group[read]


@cache
def _groups_of(read: Any) -> Any:
    return Groups[read]
