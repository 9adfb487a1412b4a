"""Decides how the graph is spoken to over HTTP: who may ask, what is asked, how often, and with which status it is
answered. A verified token comes before anything is read; nothing a browser sends by itself says who asks."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from fastapi import APIRouter, FastAPI, Request, WebSocket
from fastapi.responses import FileResponse, HTMLResponse, Response
from graphql import OperationType

from gateway.allowance import Allowance
from gateway.answering import Caller, answer, caller_of, charge, ready
from gateway.asking import LEGACY, MODERN, STREAM, Asked, Wrong, by_get, by_post, media_type
from gateway.derive.contract import load
from gateway.derive.graph import build
from gateway.edges import EDGES, HEARD, KEYS
from gateway.execution.documents import Documents
from gateway.execution.execute import Executor
from gateway.live.hearing import hearing
from gateway.live.socket import Conversation
from gateway.live.stream import refuse_changes_by_link, streamed
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
    state.graph = build(load(OPENAPI), EDGES, KEYS, HEARD)._schema
    state.executor = Executor(state.graph)
    state.documents = Documents(state.graph, explains=settings.introspection)
    listed = read_manifest(settings.trusted_documents) if settings.trusted_documents else {}
    state.trusted = Trusted(listed, only=settings.trusted_only)
    state.allowance = Allowance(settings.graph_cost)
    async with connected(settings, state.tracing, state.measures) as state.upstream, hearing(state) as state.hearing:
        yield


@router.api_route("/graphql", methods=["GET", "POST"])
async def ask(request: Request) -> Response:
    """Queries and mutations; by GET queries alone, as a link may change nothing, and the editor for browsers."""
    if request.method == "GET" and not request.query_params and "text/html" in request.headers.get("accept", ""):
        return HTMLResponse((GRAPHIQL / "index.html").read_text())
    return await _answer(request)


@router.websocket("/graphql")
async def converse(socket: WebSocket) -> None:
    """Subscriptions, and queries and mutations beside them, over one connection."""
    await Conversation(socket).run()


@router.get("/graphql/assets/{name}")
async def asset(name: str) -> Response:
    """The editor's own files: it works without internet."""
    if name not in ASSETS:
        return Response(status_code=404)
    return FileResponse(ASSETS[name], headers={"Cache-Control": "public, max-age=3600"})


async def _answer(request: Request) -> Response:
    media = media_type(", ".join(request.headers.getlist("accept")))
    state, headers = request.app.state, dict[str, str]()
    try:
        if media is None:
            raise Wrong.because(406, "NOT_ACCEPTABLE", f"answers are {MODERN}, {LEGACY} or {STREAM}")
        caller = await caller_of(state, request.headers.get("authorization", ""))
        asked = await by_post(request) if request.method == "POST" else by_get(request)
        if media == STREAM:
            return await streamed(request, caller, asked)
        answered = await _execute(request, asked, caller)
        status = 400 if "data" not in answered and media == MODERN else 200
    except Wrong as wrong:
        answered, status = {"errors": wrong.errors}, wrong.status or (400 if media == MODERN else 200)
        headers.update(wrong.headers)
    json = LEGACY if media in (None, STREAM) else media
    return Response(encode(answered), status, headers, media_type=f"{json}; charset=utf-8")


async def _execute(request: Request, asked: Asked, caller: Caller) -> dict[str, Any]:
    state = request.app.state
    what = ready(state, asked)
    if what.kind is OperationType.SUBSCRIPTION:
        words = f"a subscription is answered as {STREAM}, or over a WebSocket"
        raise Wrong.because(406, "NOT_ACCEPTABLE", words)
    refuse_changes_by_link(request, what)
    charge(state, caller, what.cost)
    return await answer(state, caller, what, request.state.request_id)
