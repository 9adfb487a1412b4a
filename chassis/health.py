"""Decides what a process answers about itself: whether it lives, whether it is ready, and its figures."""

import asyncio
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST
from sqlalchemy.exc import SQLAlchemyError

from chassis.outbox import pending

LOOK_SECONDS = 2

router = APIRouter(include_in_schema=False)


@router.get("/livez")
async def livez() -> dict[str, str]:
    return {"status": "alive"}


@router.get("/readyz")
async def readyz(request: Request) -> JSONResponse:
    """200 when the database answers and tokens can be checked; else 503 that says what isn't ready."""
    state = request.app.state
    checks: dict[str, str] = {}
    waiting = None
    try:
        async with asyncio.timeout(LOOK_SECONDS), state.database.worker() as session:
            waiting = await pending(session)
        checks["database"] = "ok"
    except (SQLAlchemyError, OSError, TimeoutError) as problem:
        checks["database"] = f"doesn't answer: {type(problem).__name__}"
    checks["identity"] = "ok" if state.verifier.keys else "the gateway's keys aren't known yet"
    ready = all(value == "ok" for value in checks.values())
    outbox = {"waiting": waiting, "failing": state.relay.failing}
    return JSONResponse({"ready": ready, "checks": checks, "outbox": outbox}, 200 if ready else 503)


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """Prometheus's text format; what only the database knows is missing while it is away."""
    state: Any = request.app.state
    try:
        async with asyncio.timeout(LOOK_SECONDS), state.database.worker() as session:
            await state.measures.look(session, state.settings.subscribers, state.clock())
        state.measures.database_up.set(1)
    except (SQLAlchemyError, OSError, TimeoutError):
        state.measures.database_up.set(0)
    return Response(state.measures.exposition(state.database), media_type=CONTENT_TYPE_LATEST)
