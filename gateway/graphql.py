"""Decides how the graph is spoken to over HTTP: GraphQL over HTTP, with a verified token before anything is read."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import FileResponse, HTMLResponse, Response
from graphql import ExecutionResult, GraphQLError, OperationDefinitionNode, OperationType, get_operation_ast
from pydantic_core import from_json, to_json

from chassis.errors import MopsError, Unauthenticated, Unavailable
from chassis.tokens import Verifier
from gateway.derive.contract import load
from gateway.derive.graph import build
from gateway.edges import EDGES, KEYS
from gateway.execution.documents import Documents, Refusal
from gateway.execution.execute import execute
from gateway.execution.limits import MAX_BYTES
from gateway.failures import GraphFailure, log_unforeseen, shown
from gateway.reads import Context
from gateway.upstream import connected

OPENAPI = Path(__file__).parent.parent / "openapi"
GRAPHIQL = Path(__file__).parent / "graphiql"
ASSETS = {path.name: path for path in (GRAPHIQL / "assets").iterdir()}

MODERN, LEGACY = "application/graphql-response+json", "application/json"
router = APIRouter(include_in_schema=False)


@asynccontextmanager
async def graph(app: FastAPI) -> AsyncIterator[None]:
    """Builds the graph from the committed contracts, and opens the connections to the services."""
    app.state.graph = build(load(OPENAPI), EDGES, KEYS)._schema
    app.state.documents = Documents(app.state.graph)
    async with connected(app.state.settings, app.state.tracing, app.state.measures) as app.state.upstream:
        yield


@dataclass(frozen=True)
class Asked:
    """One GraphQL request."""

    query: str
    variables: Mapping[str, Any]
    operation_name: str | None


class Wrong(Exception):
    """A request that isn't answered with data: its status, and the errors that say why."""

    def __init__(self, status: int, errors: list[dict[str, Any]], headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status)
        self.status = status
        self.errors = errors
        self.headers = headers or {}

    @classmethod
    def because(cls, status: int, code: str, message: str, **headers: str) -> "Wrong":
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return cls(status, [{"message": message, "extensions": {"code": code}}], named)


@router.get("/graphql")
async def ask_by_get(request: Request) -> Response:
    """Queries only, so that a link can't change anything; the editor for browsers that ask for a page."""
    if "query" not in request.query_params and "text/html" in request.headers.get("accept", ""):
        return HTMLResponse((GRAPHIQL / "index.html").read_text())
    return await _answer(request)


@router.post("/graphql")
async def ask(request: Request) -> Response:
    """Queries and mutations."""
    return await _answer(request)


@router.get("/graphql/assets/{name}")
async def asset(name: str) -> Response:
    """The editor's own files: it works without internet."""
    if name not in ASSETS:
        return Response(status_code=404)
    return FileResponse(ASSETS[name], headers={"Cache-Control": "public, max-age=3600"})


async def _answer(request: Request) -> Response:
    media = _media_type(request)
    try:
        if media is None:
            raise Wrong.because(406, "NOT_ACCEPTABLE", f"answers are {MODERN} or {LEGACY}")
        await _authenticate(request)
        asked = await _by_post(request) if request.method == "POST" else _by_get(request)
        answer: dict[str, Any] = await _execute(request, asked)
        status = 200
        if "data" not in answer and media == MODERN:
            status = 400
        headers: Mapping[str, str] = {}
    except Wrong as wrong:
        answer, status, headers = {"errors": wrong.errors}, wrong.status, wrong.headers
    return Response(to_json(answer), status, dict(headers), media_type=f"{media or LEGACY}; charset=utf-8")


def _media_type(request: Request) -> str | None:
    accepted = request.headers.get("accept", "*/*")
    ranges = {each.partition(";")[0].strip().lower() for each in accepted.split(",")}
    if ranges & {MODERN, "*/*", "application/*"} or ranges == {""}:
        return MODERN
    return LEGACY if LEGACY in ranges else None


async def _authenticate(request: Request) -> None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    verifier: Verifier = request.app.state.verifier
    try:
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("send a bearer token from /oauth/token")
        principal = await verifier.verify(token.strip())
        _ = principal.workspace_id
    except Unauthenticated as problem:
        raise Wrong.because(401, "UNAUTHENTICATED", problem.detail, WWW_Authenticate="Bearer") from None
    except Unavailable as problem:
        raise Wrong.because(503, "UNAVAILABLE", problem.detail, Retry_After=str(problem.retry_after)) from None
    except MopsError as problem:
        raise Wrong.because(403, problem.code.upper(), problem.detail) from None


async def _by_post(request: Request) -> Asked:
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media != "application/json":
        # What a page elsewhere can send without asking (forms, plain text) is never read.
        raise Wrong.because(415, "UNSUPPORTED_MEDIA_TYPE", "send application/json")
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MAX_BYTES:
            raise Wrong.because(413, "QUERY_TOO_LARGE", f"a request has {MAX_BYTES} bytes at most")
    try:
        sent = from_json(body, allow_inf_nan=False)
    except ValueError:
        raise Wrong.because(400, "BAD_REQUEST", "the body isn't JSON") from None
    if not isinstance(sent, dict):
        raise Wrong.because(400, "BAD_REQUEST", "the body is a JSON object with `query`")
    return _asked(sent.get("query"), sent.get("variables"), sent.get("operationName"))


def _by_get(request: Request) -> Asked:
    given = request.query_params
    try:
        variables = from_json(given["variables"], allow_inf_nan=False) if given.get("variables") else None
    except ValueError:
        raise Wrong.because(400, "BAD_REQUEST", "`variables` isn't JSON") from None
    return _asked(given.get("query"), variables, given.get("operationName") or None)


def _asked(query: Any, variables: Any, operation_name: Any) -> Asked:
    if not isinstance(query, str) or not query:
        raise Wrong.because(400, "BAD_REQUEST", "`query` is missing, or isn't text")
    if not isinstance(variables, dict | None):
        raise Wrong.because(400, "BAD_REQUEST", "`variables` is an object")
    if not isinstance(operation_name, str | None):
        raise Wrong.because(400, "BAD_REQUEST", "`operationName` is text")
    return Asked(query, variables or {}, operation_name)


async def _execute(request: Request, asked: Asked) -> dict[str, Any]:
    state = request.app.state
    try:
        document = state.documents.read(asked.query, asked.variables)
    except Refusal as refusal:
        return {"errors": [shown(error, refusal.code) for error in refusal.errors]}
    operation: OperationDefinitionNode | None = get_operation_ast(document, asked.operation_name)
    if operation is None:
        problem = GraphFailure("BAD_USER_INPUT", "say by `operationName` which of the operations to execute")
        return {"errors": [shown(GraphQLError(str(problem), original_error=problem))]}
    if request.method == "GET" and operation.operation is not OperationType.QUERY:
        raise Wrong.because(405, "METHOD_NOT_ALLOWED", "only queries go by GET", Allow="POST")
    request_id: str = request.state.request_id
    headers = {"authorization": request.headers["authorization"], "x-request-id": request_id}
    context = Context(state.upstream, headers)
    result: ExecutionResult = await execute(state.graph, document, asked.variables, asked.operation_name, context)
    answer: dict[str, Any] = {}
    if result.errors:
        log_unforeseen(result.errors, request_id)
        answer["errors"] = [shown(error) for error in result.errors]
    if result.data is not None or not _never_began(result):
        answer["data"] = result.data
    return answer


def _never_began(result: ExecutionResult) -> bool:
    """Whether variables were refused: such errors have no path, and no data goes with them."""
    return bool(result.errors) and all(error.path is None for error in result.errors or ())
