"""Decides what the derivation is tried on beside the real services: shelves of books with every kind of edge, which can
be told to break."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any

from fastapi import FastAPI, Query
from fastapi.responses import JSONResponse, Response
from graphql import GraphQLSchema, get_operation_ast, parse
from pydantic import BaseModel

from chassis.measures import Measures
from chassis.settings import Settings
from chassis.telemetry import Tracing
from gateway.derive.contract import Contract, Operation
from gateway.derive.graph import build
from gateway.derive.kinds import Asked, Attached, Edge, Many, NaturalKey, Ref, Refs
from gateway.execution.documents import Document
from gateway.execution.execute import Executor
from gateway.execution.selection import conditions
from gateway.graphql import encode
from gateway.reads import Context
from gateway.upstream import connected
from tests.gateway.conftest import served

Many_ = Annotated[list[str], Query(max_length=200)]


class ShelfRead(BaseModel):
    """Where books stand."""

    id: str
    name: str
    book_ids: list[str]


class Genre(StrEnum):
    NOVEL = "novel"
    ESSAY = "essay"


class Size(BaseModel):
    height: int
    width: float | None


class Chapter(BaseModel):
    """What a book is made of."""

    name: str
    pages: int
    size: Size


CHAPTERS = [Chapter(name=f"chapter {pages}", pages=pages, size=Size(height=pages, width=None)) for pages in (1, 2)]
DRAFT = Chapter(name="draft", pages=3, size=Size(height=1, width=1.5))


class BookRead(BaseModel):
    """What stands on shelves."""

    id: str
    shelf_id: str
    title: str
    genre: Genre = Genre.NOVEL
    genres: list[Genre] = [Genre.ESSAY, Genre.NOVEL]
    size: Size = Size(height=3, width=2)
    sleeve: Size | None = None
    chapters: list[Chapter] = CHAPTERS
    drafts: list[Chapter | None] = [None, DRAFT]
    notes: dict[str, Any] = {"b": [1, None, 1.5], "a": "ü"}
    lent: bool = False


class ShelfPage(BaseModel):
    items: list[ShelfRead]
    next_cursor: str | None


class BookPage(BaseModel):
    items: list[BookRead]
    next_cursor: str | None


class BookGroup(BaseModel):
    key: str
    items: list[BookRead]
    next_cursor: str | None


class BookGroups(BaseModel):
    groups: list[BookGroup]


class LibraryRead(BaseModel):
    city: str
    size: Size | None


class Weight(BaseModel):
    grams: int


class Why(BaseModel):
    code: str
    detail: str


class WeightOfShelf(BaseModel):
    shelf_id: str
    weight: Weight | None
    problem: Why | None


class Weights(BaseModel):
    items: list[WeightOfShelf]


class LoanQuery(BaseModel):
    shelf_ids: list[str]
    month: str


class LoanQueries(BaseModel):
    queries: list[LoanQuery]


class Loans(BaseModel):
    month: str
    loans: int


class LoansOfQuery(BaseModel):
    loans: list[Loans] = []
    problem: Why | None = None


class LoanSeries(BaseModel):
    series: list[LoansOfQuery]


EDGES: tuple[Edge, ...] = (
    Many("Shelf.books", "list_books", by="shelf_id"),
    Refs("Shelf.order", "list_books", ids="book_ids"),
    Ref("Book.shelf", "list_shelves", id="shelf_id"),
    Attached("Shelf.weight", "list_weights", key="shelf_id", value="weight", type="ShelfWeight"),
    Many("ShelfWeight.books", "list_books", by="shelf_id", key="shelf_id"),
    Asked("Shelf.loans", "query_loans", bind={"shelf_ids": "id"}),
)


KEYS = (NaturalKey("Shelf", "list_shelves", by="name"),)


@dataclass
class Library:
    """The app, its graph, and what it was asked."""

    shelves: int = 3
    books: int = 5
    asked: list[str] = field(default_factory=list)
    broken: bool = False
    # What becomes of a path's answers.
    faults: dict[str, Callable[[Any], bytes | Response]] = field(default_factory=dict)
    freeze_after: int | None = None
    # While it is there and not set, nothing is answered.
    hold: asyncio.Event | None = None
    app: FastAPI = field(init=False)
    schema: GraphQLSchema = field(init=False)
    executor: Executor = field(init=False)
    upstream: Any = None

    def __post_init__(self) -> None:
        self.app = app = FastAPI(generate_unique_id_function=lambda route: route.name)

        @app.middleware("http")
        async def remember(request: Any, call_next: Any) -> Any:
            body = (await request.body()).decode()
            self.asked.append(f"{request.method} {request.url.path}?{request.url.query}{body}")
            if self.broken and "books" in request.url.path:
                return JSONResponse({"code": "database_unavailable", "detail": "a secret"}, 503)
            if self.hold:
                await self.hold.wait()
            fault = self.faults.get(request.url.path)
            if fault is not None:
                answer = await call_next(request)
                changed = fault(json.loads(b"".join([part async for part in answer.body_iterator])))
                return changed if isinstance(changed, Response) else Response(changed, media_type="application/json")
            if self.freeze_after == len(self.asked):
                await asyncio.sleep(0.5)  # slow, and then frozen: two waits that must not add up
            if self.freeze_after is not None and len(self.asked) > self.freeze_after:
                await asyncio.Event().wait()
            return await call_next(request)

        @app.get("/v1/shelves")
        async def list_shelves(
            id: Many_ = [], name: Many_ = [], limit: int = 50, cursor: str | None = None
        ) -> ShelfPage:
            begin = int(cursor or 0)
            wanted = [f"s{number}" for number in range(self.shelves)]
            found = [each for each in wanted if (not id or each in id) and (not name or each.upper() in name)]
            after = begin + limit
            items = [self._shelf(each) for each in found[begin:after]]
            return ShelfPage(items=items, next_cursor=str(after) if after < len(found) else None)

        @app.get("/v1/shelves/{id}")
        async def get_shelf(id: str) -> ShelfRead:
            return self._shelf(id)

        @app.get("/v1/library")
        async def get_library(city: str = "Bonn") -> LibraryRead:
            return LibraryRead(city=city, size=Size(height=1, width=1))

        @app.get("/v1/books")
        async def list_books(
            id: Many_ = [],
            shelf_id: Many_ = [],
            limit: int = 50,
            cursor: str | None = None,
            limit_per: int | None = None,
        ) -> BookPage | BookGroups:
            if limit_per is None:
                return BookPage(items=[self._book(each) for each in id][:limit], next_cursor=None)
            begin = int(cursor or 0)
            after = begin + limit_per
            more = str(after) if after < self.books else None
            return BookGroups(
                groups=[
                    BookGroup(
                        key=key, next_cursor=more,
                        items=[self._book(f"{key}b{each}") for each in range(begin, min(after, self.books))],
                    )
                    for key in shelf_id
                ]
            )  # fmt: skip

        @app.get("/v1/weights")
        async def list_weights(shelf_id: Many_ = []) -> Weights:
            why = Why(code="too_heavy", detail="the scale ends at 5 kg")
            return Weights(
                items=[
                    WeightOfShelf(shelf_id=each, weight=None, problem=why)
                    if each == "s1"
                    else WeightOfShelf(shelf_id=each, weight=Weight(grams=100), problem=None)
                    for each in shelf_id
                ]
            )

        @app.post("/v1/loans/query", openapi_extra={"x-graph": False})
        async def query_loans(asked: LoanQueries) -> LoanSeries:
            why = Why(code="not_yet", detail="that month is to come")
            return LoanSeries(
                series=[
                    LoansOfQuery(problem=why)
                    if each.month == "never"
                    else LoansOfQuery(loans=[Loans(month=each.month, loans=len(each.shelf_ids))])
                    for each in asked.queries
                ]
            )

        self.schema = schema = build({"shelf": app.openapi()}, EDGES, KEYS)._schema
        self.executor = Executor(schema)

    def _shelf(self, id: str) -> ShelfRead:
        return ShelfRead(id=id, name=id.upper(), book_ids=[f"{id}b{each}" for each in range(self.books)][::-1])

    def _book(self, id: str) -> BookRead:
        return BookRead(id=id, shelf_id=id.partition("b")[0], title=id)

    def calls(self) -> list[str]:
        """What was asked, but for the order of a body's queries, which is nobody's promise."""
        return sorted(each.partition("{")[0] for each in self.asked)

    def operation(self, name: str) -> Operation:
        return Contract({"shelf": self.app.openapi()}).operations[name]

    async def ask(self, query: str, **variables: Any) -> Any:
        """The whole answer, which a plan and graphql-core give alike, asking the services for the same."""
        by_plan = await self.answer(self.executor.by_plan, query, variables)
        asked = self.calls()
        by_fields = await self.answer(self.executor.by_fields, query, variables)
        assert by_plan == by_fields
        assert asked == self.calls()
        return json.loads(by_plan)

    async def answer(self, how: Any, query: str, variables: Any) -> bytes:
        document = Document(query, parse(query))
        document.conditions = conditions(document.ast)
        self.asked.clear()
        context = Context(self.upstream, {})
        answer = await how(document, variables, get_operation_ast(document.ast), context)
        await context.close()
        assert answer is not None, "it isn't the plan's to answer"
        return encode(answer.sent(""))

    async def data(self, query: str, **variables: Any) -> Any:
        answer = await self.ask(query, **variables)
        assert "errors" not in answer, answer["errors"]
        return answer["data"]


@asynccontextmanager
async def shelf(shelves: int = 3, books: int = 5) -> AsyncIterator[Library]:
    """A library behind a socket."""
    library = Library(shelves, books)
    async with (
        served(library.app) as url,
        connected(
            Settings(part="gateway", urls={"shelf": url}, read_seconds=30), Tracing(), Measures()
        ) as library.upstream,
    ):
        yield library
