"""Decides what callers can ask of any list, and which SQL answers it: declared once, compiled once for each way to ask.

A list says what it can be sorted, filtered and grouped by. From that come its query parameters, its statements, and the
test that holds an index against each of them.
"""

import inspect
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property, lru_cache
from typing import Annotated, Any, Generic, Literal, TypeVar, get_args, get_origin
from uuid import UUID

from fastapi import Depends, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import Field, ValidationError, create_model
from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Enum,
    Integer,
    Select,
    String,
    Table,
    Uuid,
    any_,
    bindparam,
    exists,
    func,
    select,
    true,
    tuple_,
)

from chassis.errors import Invalid
from chassis.fields import Readable, UtcDatetime
from chassis.paging import MOST, Ids
from chassis.reading import Prepared, prepare

ReadType = TypeVar("ReadType", bound=Readable)

Limit = Annotated[int, Query(ge=1, le=MOST, description="Items in a page.")]
Cursor = Annotated[str | None, Query(max_length=2000, description="`next_cursor` of the page before.")]
Fields = frozenset[str] | None
NeededIds = Annotated[list[UUID], Query(min_length=1, max_length=MOST, description=f"Of these, up to {MOST}.")]
GROUP = "group_key"
# The largest that a column of whole numbers holds.
INTEGER = 2**31 - 1


Wanted = Annotated[
    list[str],
    Query(
        max_length=100,
        description="Only these fields of what is described, by commas or repeated; what identifies it is always"
        " there. An answer holds just these then, whatever else its schema requires; what isn't asked for isn't looked"
        " up.",
    ),
]


def fields_of(read: type[Readable]) -> Any:
    """Dependency: which fields of an answer are asked for; None: all."""

    async def asked(request: Request) -> Fields:
        sent = request.query_params.getlist("fields")
        return chosen(read, sent) if sent else None

    def described(fields: Wanted = []) -> None:
        """What `asked` reads."""

    asked.described = described  # type: ignore[attr-defined]
    return Depends(asked)


def chosen(read: type[Readable], fields: Sequence[str]) -> Fields:
    """The fields named, and what identifies the row; Invalid names one that there isn't."""
    named = {name.strip() for each in fields for name in each.split(",")} - {""}
    if not named:
        return None
    known = {info.serialization_alias or info.alias or name: name for name, info in read.model_fields.items()}
    unknown = sorted(named - known.keys())
    if unknown:
        raise Invalid.field("fields", f"{read.__name__.removesuffix('Read')} has no {unknown[0]}", "unknown")
    return frozenset({known[name] for name in named} | {read.IDENTITY})


@dataclass(frozen=True)
class Parent:
    """What rows can hang on: the column that names the parent, and how that column's table is joined where it isn't the
    rows' own."""

    column: Any
    link: tuple[Any, ColumnElement[bool]] | None = None
    # Whether the list can only be asked for with it.
    needed: bool = False

    def narrows(self, name: str, *, one: bool) -> ColumnElement[bool]:
        """Only rows of the parents that are bound as `name`; of the one that is bound as `only_name`."""
        named = self.column == bindparam(f"only_{name}", type_=Uuid()) if one else _one_of(self.column, name)
        return exists().where(self.link[1], named) if self.link else named


def _one_of(column: Any, name: str) -> ColumnElement[bool]:
    # One array and no IN: however many values, it is one statement.
    return column == any_(bindparam(name, type_=ARRAY(_bound(column))))  # type: ignore[no-any-return]


def _bound(column: Any) -> Any:
    """As what a filter's values are sent: enums and their like as the text that they are kept as."""
    return column.type if isinstance(column.type, Uuid | Integer) else String()


@dataclass(frozen=True)
class Filter:
    """One query parameter of a list, and what holds of the rows that fit it."""

    name: str
    kind: Any
    default: Any
    column: Any
    holds: ColumnElement[bool]
    # The same for one value, bound as `only_NAME`: an index by the column is in the order of what comes next in it.
    only: ColumnElement[bool] | None = None


def _filters(model: Any, name: str, called: str) -> list[Filter]:
    """How rows are filtered by a column: by any of some values; by a half-open span, where it is a time or a day; by
    yes or no."""
    column = getattr(model, name)
    kind = getattr(column.type, "impl", column.type).python_type
    if issubclass(kind, date):
        word, stem = ("instant", called.removesuffix("_at")) if issubclass(kind, datetime) else ("day", called)
        value = UtcDatetime if issubclass(kind, datetime) else date

        def ends(end: str, words: str, holds: Callable[[Any], ColumnElement[bool]]) -> Filter:
            wanted = Annotated[value | None, Query(description=words)]  # type: ignore[valid-type]
            bound = bindparam(f"{stem}_{end}", type_=column.type)
            return Filter(f"{stem}_{end}", wanted, None, column, holds(bound))

        return [
            ends("from", f"From this {word} on.", lambda bound: column >= bound),
            ends("to", f"Before this {word}.", lambda bound: column < bound),
        ]
    if kind is bool:
        return [Filter(called, bool | None, None, column, column == bindparam(called, type_=column.type))]
    most: int | None = MOST
    words = f"Only these, up to {MOST}."
    if isinstance(column.type, Enum):
        kind, most, words = column.type.enum_class, None, "Only these."
    if kind is int:
        kind = Annotated[int, Field(ge=-INTEGER - 1, le=INTEGER)]
    several = Annotated[list[kind], Query(max_length=most, description=words)]  # type: ignore[valid-type]
    only = column == bindparam(f"only_{called}", type_=_bound(column))
    return [Filter(called, several, [], column, _one_of(column, called), only)]


@dataclass(frozen=True, eq=False)
class Rows(Generic[ReadType]):
    """What a list is of, and what can be asked of it."""

    model: Any
    read: type[ReadType]
    sort: tuple[str, ...] = ()
    by: tuple[str, ...] = ()
    scanned: tuple[str, ...] = ()
    parents: Mapping[str, Parent] = field(default_factory=dict)
    also: tuple[Filter, ...] = ()
    called: Mapping[str, str] = field(default_factory=dict)
    as_id: tuple[str, ...] = ()

    @cached_property
    def filters(self) -> dict[str, Filter]:
        columns = ("id", *self.by, *self.scanned)
        found = [each for name in columns for each in _filters(self.model, name, self.called.get(name, name))]
        return {each.name: each for each in (*found, *self.also)}

    @cached_property
    def columns(self) -> frozenset[str]:
        table: Table = self.model.__table__
        return frozenset(column.key for column in table.columns)

    def needed(self, fields: Fields, sort: str, derived: Collection[str]) -> frozenset[str]:
        """The columns to read: those that are asked for, or all where a field isn't one of them."""
        wanted = fields or frozenset(self.read.model_fields) or self.columns
        if wanted <= self.columns and wanted.isdisjoint(derived):
            return wanted | {"id", sort.removeprefix("-")}
        return self.columns


@dataclass(frozen=True)
class Listing(Generic[ReadType]):
    """What a caller asks of a list. `given` are the filters and parents by name; `group_by` is the parent whose items
    are wanted in groups."""

    of: Rows[ReadType]
    limit: int = 50
    cursor: str | None = None
    sort: str = "id"
    fields: Fields = None
    given: Mapping[str, Any] = field(default_factory=dict)
    limit_per: int | None = None
    group_by: str | None = None


def listing(
    model: Any, read: type[ReadType], *, sort: Sequence[str] = (), by: Sequence[str] = (),
    scanned: Sequence[str] = (), parents: Mapping[str, Parent] = {}, also: Sequence[Filter] = (),
    called: Mapping[str, str] = {}, as_id: Sequence[str] = (),
) -> Any:  # fmt: skip
    """Dependency: what is asked of a list of `model`'s rows as `read`. `sort` and `by` name columns that it can be
    sorted and filtered by, each with an index; those in `scanned` have none, where rows come in by the million and
    most of them fit, or where a needed parent has left few; `parents` are what rows hang on, to filter and, with
    `limit_per`, to group by; `also` are filters that no column makes by itself; `called` names the parameters of
    columns that callers know by another name; `as_id` names columns in whose order the ids are made, so that to sort by
    them is to sort by the id."""
    rows = Rows(model, read, tuple(sort), tuple(by), tuple(scanned), parents, tuple(also), called, tuple(as_id))
    choices: Any = Literal[tuple(sign + name for name in ("id", *sort, *as_id) for sign in ("", "-"))]
    parameters: list[tuple[str, Any, Any]] = [(each.name, each.kind, each.default) for each in rows.filters.values()]
    parameters += [(name, *((NeededIds, ...) if each.needed else (Ids, []))) for name, each in parents.items()]
    if parents:
        words = "Answer in groups: so many items for each parent that is named."
        group_by: Any = {"x-group-by": list(parents)}
        per = Annotated[int | None, Query(ge=1, le=MOST, description=words, json_schema_extra=group_by)]
        parameters.append(("limit_per", per, None))
    parameters += [
        ("limit", Limit, 50),
        ("cursor", Cursor, None),
        ("sort", Annotated[choices, Query(description="`-` in front: downwards. Ids rise with age.")], "id"),
    ]
    parameters.append(("fields", Wanted, []))
    fields: dict[str, Any] = {name: (kind, default) for name, kind, default in parameters}
    query: Any = create_model("Query", **fields)
    several = {name for name, kind, _ in parameters if get_origin((get_args(kind) or (kind,))[0]) is list}

    async def asked(request: Request) -> Listing[ReadType]:
        # FastAPI takes longer over twenty parameters than Postgres over fifty rows; so it only describes them.
        sent = request.query_params
        known = sent.keys() & query.model_fields.keys()
        named = {name: sent.getlist(name) if name in several else sent[name] for name in known}
        try:
            found = vars(query.model_validate(named))
        except ValidationError as problem:
            errors = problem.errors(include_url=False)
            raise RequestValidationError([{**each, "loc": ("query", *each["loc"])} for each in errors]) from None
        limit_per = found.get("limit_per")
        return Listing(
            rows, found["limit"], found["cursor"], found["sort"], chosen(read, found["fields"]),
            {name: found[name] for name in named if name not in OWN and found[name] not in ([], None)}, limit_per,
            _group_by(request, rows) if limit_per else None,
        )  # fmt: skip

    def described() -> None:
        """What `asked` reads."""

    described.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                annotation=kind,
                default=inspect.Parameter.empty if default is ... else default,
            )
            for name, kind, default in parameters
        ]
    )
    asked.rows, asked.described = rows, described  # type: ignore[attr-defined]
    return Depends(asked)


OWN = {"limit_per", "limit", "cursor", "sort", "fields"}


def describe_lists(app: FastAPI, document: dict[str, Any]) -> None:
    """Adds what can be asked of each list to an app's OpenAPI document."""
    operations = {each["operationId"]: each for methods in document["paths"].values() for each in methods.values()}
    for route in list_routes(app):
        for each in route.dependant.dependencies:
            described = getattr(each.call, "described", None)
            if described is None or route.name not in operations:
                continue
            aside = FastAPI(separate_input_output_schemas=False)
            aside.get("/")(described)
            made = aside.openapi()
            operation = operations[route.name]
            operation["parameters"] = [*operation.get("parameters", []), *made["paths"]["/"]["get"]["parameters"]]
            schemas = made.get("components", {}).get("schemas", {})
            document["components"]["schemas"] = {**schemas, **document["components"]["schemas"]}


def list_routes(router: Any) -> Iterator[APIRoute]:
    """Every route of an app, those of its routers too."""
    for route in router.routes:
        if isinstance(route, APIRoute):
            yield route
        elif hasattr(route, "original_router"):
            yield from list_routes(route.original_router)


def _group_by(request: Request, rows: Rows[Any]) -> str:
    """The parent that is named first in the URL."""
    by = next((name for name in request.query_params if name in rows.parents), None)
    if by is None:
        raise Invalid.field("limit_per", f"name what to group by: {' or '.join(rows.parents)}", "no_parent")
    return by


def order(rows: Rows[Any], sort: str) -> list[Any]:
    """The columns that a list is in the order of; the id makes it one order."""
    name = sort.removeprefix("-")
    return [rows.model.id] if name in ("id", *rows.as_id) else [getattr(rows.model, name), rows.model.id]


@lru_cache(maxsize=2000)
def plan(
    rows: Rows[Any],
    given: frozenset[str],
    only: frozenset[str],
    sort: str,
    after: bool,
    columns: frozenset[str],
    group_by: str | None,
) -> Prepared:
    """The statement for one way to ask. It takes the values given by name; `most` rows, of each group where it groups;
    and with `after` the position `at0`, `at1` that the page before ended at. Filters in `only` have one value."""
    model = rows.model
    statement: Select[Any] = select(*(getattr(model, name) for name in sorted(columns)))
    for name in sorted(given):
        # Grouping says of its own parent what the filter would; said twice, the planner may sort all rows at once.
        if name != group_by:
            found = rows.filters.get(name)
            if found is None:
                statement = statement.where(rows.parents[name].narrows(name, one=name in only))
            else:
                statement = statement.where(found.only if found.only is not None and name in only else found.holds)
    ordered, down = order(rows, sort), sort.startswith("-")
    if after:
        position = tuple_(*(bindparam(f"at{place}", type_=each.type) for place, each in enumerate(ordered)))
        statement = statement.where(tuple_(*ordered) < position if down else tuple_(*ordered) > position)
    statement = statement.order_by(*(each.desc() if down else each.asc() for each in ordered))
    statement = statement.limit(bindparam("most", type_=Integer))
    if group_by is None:
        return prepare(statement)
    parent = rows.parents[group_by]
    keys = func.unnest(bindparam(group_by, type_=ARRAY(Uuid))).table_valued("key").render_derived("wanted")
    statement = statement.where(parent.column == keys.c.key)
    if parent.link:
        statement = statement.join(*parent.link)
    each_group = statement.correlate(keys).lateral("each")
    again = [each_group.c[each.key] for each in ordered]
    grouped = select(keys.c.key.label(GROUP), each_group).join_from(keys, each_group, onclause=true())
    return prepare(grouped.order_by(*(each.desc() if down else each.asc() for each in again)))
