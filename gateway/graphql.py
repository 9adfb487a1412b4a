"""Decides how the graph is spoken to over HTTP: who may ask, what is asked, how often, and with which status it is
answered. A verified token comes before anything is read; nothing a browser sends by itself says who asks."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from math import ceil
from pathlib import Path
from typing import Any

import msgspec
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import FileResponse, HTMLResponse, Response
from graphql import GraphQLError, OperationDefinitionNode, OperationType, get_operation_ast

from chassis.errors import MopsError, Unauthenticated, Unavailable
from chassis.tokens import Principal, Verifier
from gateway.allowance import Allowance, Exhausted
from gateway.asking import LEGACY, MODERN, Asked, Wrong, by_get, by_post, media_type
from gateway.derive.contract import load
from gateway.derive.graph import build
from gateway.edges import EDGES, KEYS
from gateway.execution.documents import Document, Documents, Refusal
from gateway.execution.execute import Executor
from gateway.failures import GraphFailure, shown
from gateway.reads import Context
from gateway.trusted import Trusted, read_manifest
from gateway.upstream import connected

OPENAPI = Path(__file__).parent.parent / "openapi"
GRAPHIQL = Path(__file__).parent / "graphiql"
ASSETS = {path.name: path for path in (GRAPHIQL / "assets").iterdir()}

encode = msgspec.json.Encoder().encode
router = APIRouter(include_in_schema=False)


@asynccontextmanager
async def graph(app: FastAPI) -> AsyncIterator[None]:
    """Builds the graph from the committed contracts, and opens the connections to the services."""
    state, settings = app.state, app.state.settings
    state.graph = build(load(OPENAPI), EDGES, KEYS)._schema
    state.executor = Executor(state.graph)
    state.documents = Documents(state.graph, explains=settings.introspection)
    listed = read_manifest(settings.trusted_documents) if settings.trusted_documents else {}
    state.trusted = Trusted(listed, only=settings.trusted_only)
    state.allowance = Allowance(settings.graph_cost)
    async with connected(settings, state.tracing, state.measures) as state.upstream:
        yield


@router.get("/graphql")
async def ask_by_get(request: Request) -> Response:
    """Queries only, so that a link can't change anything; the editor for browsers that ask for a page."""
    if not request.query_params and "text/html" in request.headers.get("accept", ""):
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
    media = media_type(request.headers.get("accept", ""))
    headers: Mapping[str, str] = {}
    try:
        if media is None:
            raise Wrong.because(406, "NOT_ACCEPTABLE", f"answers are {MODERN} or {LEGACY}")
        principal = await _authenticate(request)
        asked = await by_post(request) if request.method == "POST" else by_get(request)
        answer = await _execute(request, asked, principal)
        status = 400 if "data" not in answer and media == MODERN else 200
    except Wrong as wrong:
        answer, status, headers = {"errors": wrong.errors}, wrong.status, wrong.headers
    return Response(encode(answer), status, dict(headers), media_type=f"{media or LEGACY}; charset=utf-8")


async def _authenticate(request: Request) -> Principal:
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
    return principal


async def _execute(request: Request, asked: Asked, principal: Principal) -> dict[str, Any]:
    state = request.app.state
    try:
        text = state.trusted.text(asked.query, asked.id)
        document, cost = state.documents.read(text, asked.variables)
        operation = _operation(document, asked.operation_name)
    except GraphFailure as problem:
        return {"errors": [shown(GraphQLError(str(problem), original_error=problem))]}
    except Refusal as refusal:
        return {"errors": [shown(error, refusal.code) for error in refusal.errors]}
    if asked.query is not None and asked.id is not None:
        state.trusted.remember(text, asked.id)
    if request.method == "GET" and operation.operation is not OperationType.QUERY:
        raise Wrong.because(405, "METHOD_NOT_ALLOWED", "only queries go by GET", Allow="POST")
    try:
        state.allowance.take(f"{principal.workspace}:{principal.subject}", cost)
    except Exhausted as exhausted:
        words = "this client has asked for as much as it may in a minute"
        raise Wrong.because(429, "COST_EXHAUSTED", words, Retry_After=str(ceil(exhausted.seconds))) from None
    request_id: str = request.state.request_id
    context = Context(state.upstream, {"authorization": request.headers["authorization"], "x-request-id": request_id})
    answer = await state.executor.answer(document, asked.variables, operation, context)
    sent: dict[str, Any] = answer.sent(request_id)
    sent["extensions"] = {"cost": {"objects": cost}}
    return sent


def _operation(document: Document, name: str | None) -> OperationDefinitionNode:
    operation = get_operation_ast(document.ast, name)
    if operation is None:
        raise GraphFailure("BAD_USER_INPUT", "say by `operationName` which of the operations to execute")
    return operation
