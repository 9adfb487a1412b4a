"""Decides what every part is: an app with a database, identity, an outbox and inbox, jobs, health, metrics, docs."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import httpx
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse
from fastapi_offline import FastAPIOffline
from prometheus_fastapi_instrumentator import Instrumentator
from sqlalchemy import MetaData
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.schema import ColumnCollectionConstraint

from chassis import idempotency, problems
from chassis.audit_log import audit_router
from chassis.db import Database, system_clock
from chassis.identity import ServiceAccount, Verifier
from chassis.jobs import Job, run_jobs, wake_jobs
from chassis.listing import describe_lists
from chassis.outbox import WORKSPACE_EVENTS, Handler, Relay, inbox_router, pending
from chassis.settings import Settings
from chassis.sweeping import SWEEP
from chassis.telemetry import Edge, configure_logs

Resource = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def create_service(
    part: str, *routers: APIRouter, metadata: MetaData, description: str,
    consumes: Mapping[str, Handler] | None = None, jobs: Sequence[Job] = (), resources: Sequence[Resource] = (),
    body_limits: Mapping[str, str] | None = None,
) -> FastAPI:  # fmt: skip
    """A part's app. `resources` are opened after the database and closed before it; `body_limits` maps a path's prefix
    to the Settings field that bounds its body, where that isn't `body_limit`.

    What it opens at start is on `app.state`: settings, clock, http, database, verifier, account, relay. Tests set
    settings, clock, http or verifier before.
    """
    app = FastAPIOffline(
        title=f"MOps {part}",
        version="1",
        description=description,
        lifespan=_lifespan(jobs, resources),
        generate_unique_id_function=lambda route: route.name,
        responses=problems.RESPONSES,
        separate_input_output_schemas=False,
    )
    app.state.part = part
    app.state.consumes = {**WORKSPACE_EVENTS, **(consumes or {})}
    app.state.constraints = {
        str(constraint.name): tuple(column.name for column in constraint.columns if column.name != "workspace_id")
        for table in metadata.tables.values()
        for constraint in table.constraints
        if constraint.name and isinstance(constraint, ColumnCollectionConstraint)
    }
    app.state.clock = system_clock
    limits = body_limits or {}

    def body_limit(path: str) -> int:
        settings: Settings = app.state.settings
        name = next((name for prefix, name in limits.items() if path.startswith(prefix)), "body_limit")
        return int(getattr(settings, name))

    for router in (*routers, audit_router(part), inbox_router, _health):
        app.include_router(router)
    problems.install(app)
    idempotency.install(app)
    Instrumentator(excluded_handlers=["/metrics", "/livez", "/readyz"]).instrument(app).expose(
        app, include_in_schema=False
    )
    app.add_middleware(Edge, body_limit=body_limit)
    _describe(app)
    return app


def _describe(app: FastAPI) -> None:
    """Adds the problem's schema, which only responses refer to, and names scopes per operation."""
    make = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = make()
            schemas = document.setdefault("components", {}).setdefault("schemas", {})
            describe_lists(app, document)
            schemas = document["components"]["schemas"]
            for model in (problems.Problem, problems.ProblemField):
                schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
                schema.pop("$defs", None)
                schemas[model.__name__] = schema
            for name in ("HTTPValidationError", "ValidationError"):
                schemas.pop(name, None)
            for methods in document["paths"].values():
                for operation in methods.values():
                    operation["responses"].pop("422", None)
            app.openapi_schema = _with_plain_names(document)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _with_plain_names(document: dict[str, Any]) -> dict[str, Any]:
    """Calls `Page_GoalRead_` what its class is called, `GoalPage`: pydantic keeps that for the title alone."""
    schemas = document["components"]["schemas"]
    text = json.dumps(document)
    for key in [key for key in schemas if key.endswith("_")]:
        text = text.replace(f'"#/components/schemas/{key}"', f'"#/components/schemas/{schemas[key]["title"]}"')
        text = text.replace(f'"{key}": {{', f'"{schemas[key]["title"]}": {{')
    renamed: dict[str, Any] = json.loads(text)
    return renamed


def _lifespan(jobs: Sequence[Job], resources: Sequence[Resource]) -> Any:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        state = app.state
        state.settings = settings = getattr(state, "settings", None) or Settings(part=state.part)
        configure_logs(settings.log_format)
        async with AsyncExitStack() as stack:
            if getattr(state, "http", None) is None:
                # Only neighbours are called, never by way of somebody's proxy.
                state.http = await stack.enter_async_context(httpx.AsyncClient(trust_env=False))
            state.database = database = Database(
                settings.database_url, settings.worker_role, settings.database_pool, state.part, lambda: state.clock()
            )
            stack.push_async_callback(database.close)
            if getattr(state, "verifier", None) is None:
                state.verifier = Verifier(settings.issuer_url, state.http)
            state.account = ServiceAccount(
                settings.part, settings.service_secret.get_secret_value(), settings.issuer_url, state.http, state.clock
            )
            state.wake_jobs = lambda: wake_jobs(jobs)
            state.relay = relay = Relay(
                settings, database, state.http, state.account, state.clock, after_delivery=state.wake_jobs
            )
            database.subscribers = settings.subscribers
            database.after_commit = relay.wake
            for resource in resources:
                await stack.enter_async_context(resource(app))
            if getattr(state, "background", True):
                for work in (relay.run(), run_jobs(app, (*jobs, SWEEP)), _learn_keys(state.verifier)):
                    stack.push_async_callback(_cancel, asyncio.create_task(work))
            yield

    return lifespan


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def _learn_keys(verifier: Verifier) -> None:
    """Fetches the issuer's keys as soon as it is there, so that the first caller needn't wait for them."""
    while not verifier.keys:
        with suppress(httpx.HTTPError, ValueError):
            await verifier.fetch()
        await asyncio.sleep(0.1)


_health = APIRouter(include_in_schema=False)


@_health.get("/livez")
async def livez() -> dict[str, str]:
    return {"status": "alive"}


@_health.get("/readyz")
async def readyz(request: Request) -> JSONResponse:
    """200 when the database answers and tokens can be checked; else 503 that says what isn't ready."""
    state = request.app.state
    checks: dict[str, str] = {}
    waiting = None
    try:
        async with asyncio.timeout(2), state.database.worker() as session:
            waiting = await pending(session)
        checks["database"] = "ok"
    except (SQLAlchemyError, OSError, TimeoutError) as problem:
        checks["database"] = f"doesn't answer: {type(problem).__name__}"
    checks["identity"] = "ok" if state.verifier.keys else "the gateway's keys aren't known yet"
    ready = all(value == "ok" for value in checks.values())
    outbox = {"waiting": waiting, "failing": state.relay.failing}
    return JSONResponse({"ready": ready, "checks": checks, "outbox": outbox}, 200 if ready else 503)
