"""Decides how a failure looks over HTTP: RFC 9457 problem+json, a stable type and code, the fields that are wrong."""

import logging
import re
import traceback
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from asyncpg import InterfaceError, InternalClientError, PostgresError
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_dbapi
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm.exc import StaleDataError
from starlette.exceptions import HTTPException

from chassis import errors
from chassis.errors import FieldError, MopsError
from chassis.routing import methods_at

log = logging.getLogger("mops.problems")

STATUS: dict[type[MopsError], int] = {
    errors.Invalid: 422,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.Stale: 412,
    errors.VersionRequired: 428,
    errors.Unavailable: 503,
}
RETRY = {"Retry-After": "1"}
UNIQUE, FOREIGN, CHECK, NUL, DATA = "23505", "23503", "23514", "22021", "22"


class ProblemField(BaseModel):
    field: str = Field(description="The field as it was sent.", examples=["flight.end"])
    code: str = Field(examples=["missing"])
    message: str


class Problem(BaseModel):
    """RFC 9457 problem details."""

    type: str = Field(examples=["urn:mops:problem:not_found"])
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    code: str = Field(description="Stable; the end of `type`.", examples=["not_found"])
    detail: str = Field(description="For a person.")
    errors: list[ProblemField] = Field(default=[], description="The fields that are wrong.")


RESPONSES: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "What went wrong, as RFC 9457 problem details.",
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
}


def answer(
    status: int, code: str, detail: str, fields: tuple[FieldError, ...] = (), headers: Mapping[str, str] | None = None,
    facts: Mapping[str, Any] | None = None,
) -> JSONResponse:  # fmt: skip
    problem = Problem(
        type=f"urn:mops:problem:{code}",
        title=HTTPStatus(status).phrase,
        status=status,
        code=code,
        detail=detail,
        errors=[ProblemField(field=each.field, code=each.code, message=each.message) for each in fields],
    )
    content = {**(facts or {}), **problem.model_dump()}
    return JSONResponse(content, status, headers, media_type="application/problem+json")


async def _mops(_: Request, problem: Exception) -> JSONResponse:
    assert isinstance(problem, MopsError)  # noqa: S101  # registered for this class
    headers = {}
    if isinstance(problem, errors.Unavailable):
        headers["Retry-After"] = str(problem.retry_after)
    if isinstance(problem, errors.Unauthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(problem, errors.Stale):
        headers["ETag"] = f'"{problem.current}"'
    status = next(STATUS[kind] for kind in type(problem).__mro__ if kind in STATUS)
    return answer(status, problem.code, problem.detail, problem.errors, headers, problem.facts)


async def _http(request: Request, problem: Exception) -> JSONResponse:
    assert isinstance(problem, HTTPException)  # noqa: S101
    phrase, headers = HTTPStatus(problem.status_code).phrase, problem.headers
    if problem.status_code == 405:
        headers = {"Allow": ", ".join(methods_at(request.app, request.scope["path"]))}
    code = "too_large" if problem.status_code == 413 else phrase.lower().replace(" ", "_").replace("-", "_")
    return answer(problem.status_code, code, str(problem.detail), headers=headers)


async def _validation(_: Request, problem: Exception) -> JSONResponse:
    assert isinstance(problem, RequestValidationError)  # noqa: S101
    fields = tuple(
        FieldError(
            # The first part says body, query, path or header; a caller looks for the field's own name.
            ".".join(str(part) for part in error["loc"][1:]) or str(error["loc"][0]),
            str(error["type"]),
            str(error["msg"]).removeprefix("Value error, "),
        )
        for error in problem.errors()
    )
    names = ", ".join(dict.fromkeys(field.field for field in fields))
    return answer(422, "invalid", f"these fields don't hold: {names}", fields)


# What words quote may be anybody's: text in quotes, addresses of people, addresses of pages with a token in them.
_QUOTED = re.compile(r"""\w+://\S+|[^\s"']+@[^\s"']+|(?<!\w)b?'(?:[^'\\]|\\.)*(?:'|$)|b?"(?:[^"\\]|\\.)*(?:"|$)""")
MOST_FRAMES = 12


def kind_of(problem: BaseException) -> str:
    """What kind of failure it is, the driver's own where a library wrapped it."""
    return type(getattr(problem, "orig", None) or problem).__name__


def words_of(problem: BaseException) -> str:
    """A failure's kind, and the first line of its words without what they quote. Further lines quote whole rows."""
    words = str(getattr(problem, "orig", None) or problem).partition("\n")[0]
    # The driver puts its own class in front, which the kind says already.
    words = _QUOTED.sub("…", re.sub(r"^<class '[\w.]+'>: ", "", words))[:400]
    return f"{kind_of(problem)}: {words}" if words else kind_of(problem)


def told(problem: BaseException) -> str:
    """What may be logged, kept and told of a failure: its kind, its words without what they quote, and its place."""
    frames = traceback.extract_tb(problem.__traceback__)
    place = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return words_of(problem) + place


def frames_of(problem: BaseException) -> Iterator[str]:
    """The same of a failure and of what caused it, line by line, with the way that each came."""
    seen: set[int] = set()
    cause: BaseException | None = problem
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield words_of(cause) if cause is problem else f"because of {words_of(cause)}"
        for frame in traceback.extract_tb(cause.__traceback__)[-MOST_FRAMES:]:
            yield f"  {frame.filename}:{frame.lineno} {frame.name}"
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)


async def _database(request: Request, problem: Exception) -> JSONResponse:
    """What the database refuses is the caller's mistake when a constraint says so, and our trouble otherwise."""
    # By way of SQLAlchemy, or from the driver itself.
    said = problem.orig if isinstance(problem, DBAPIError) else problem
    state = getattr(said, "sqlstate", None) or ""
    constraint = getattr(getattr(said, "__cause__", None), "constraint_name", None) or ""
    columns = request.app.state.constraints.get(constraint, ())
    if isinstance(problem, IntegrityError) and state == UNIQUE:
        fields = tuple(FieldError(column, "taken", f"this {column} is taken") for column in columns)
        return answer(409, "already_exists", "something with this key exists already", fields)
    if isinstance(problem, IntegrityError) and state == FOREIGN:
        fields = tuple(FieldError(column, "unknown", f"no such {column}") for column in columns)
        return answer(422, "unknown_reference", "the request refers to something that doesn't exist", fields)
    if state == NUL:
        return answer(422, "invalid", "a text holds a character that can't be kept (NUL)")
    if state.startswith(DATA) or state == CHECK:
        log.warning("value_refused_by_database", extra={"sqlstate": state, "constraint": constraint})
        return answer(422, "invalid", "a value is out of the range that can be kept")
    log.error("database_failed", extra={"sqlstate": state, "said": told(problem)})
    return answer(503, "database_unavailable", "the database can't answer now; nothing was changed", headers=RETRY)


async def _changed_meanwhile(_: Request, __: Exception) -> JSONResponse:
    return answer(409, "changed_meanwhile", "somebody else changed this at the same moment; nothing was changed")


async def _busy(_: Request, problem: Exception) -> JSONResponse:
    log.error("database_unreachable", extra={"kind": type(problem).__name__})
    return answer(503, "database_unavailable", "the database can't answer now; nothing was changed", headers=RETRY)


def install(app: FastAPI) -> None:
    """Gives every failure of an app its answer."""
    for kind in STATUS:
        app.add_exception_handler(kind, _mops)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _validation)
    # As SQLAlchemy wraps it; as the driver raises it in a reader, also when its connection died amid what came before;
    # and as it is when a reader gets no connection.
    for refusal in (DBAPIError, PostgresError, InterfaceError, InternalClientError, AsyncAdapt_asyncpg_dbapi.Error):
        app.add_exception_handler(refusal, _database)
    app.add_exception_handler(StaleDataError, _changed_meanwhile)
    app.add_exception_handler(PoolTimeout, _busy)
    app.add_exception_handler(OSError, _busy)


def unexpected() -> JSONResponse:
    """The answer when nothing else fits; what happened is in the log, never in the answer."""
    return answer(500, "internal", "something went wrong here; it has been logged")
