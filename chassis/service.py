"""Decides what every part is: an app with a database, identity, an outbox and inbox, jobs, health, metrics, docs."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import httpx
from fastapi import APIRouter, FastAPI
from fastapi_offline import FastAPIOffline
from sqlalchemy import MetaData
from sqlalchemy.schema import ColumnCollectionConstraint

from chassis import health, idempotency, problems
from chassis.audit_log import audit_router
from chassis.db import Database, system_clock
from chassis.edge import Edge
from chassis.identity import ServiceAccount
from chassis.inbox import WORKSPACE_EVENTS, Handler, Keep, inbox_router
from chassis.job_list import jobs_router
from chassis.jobs import Deferred, Job, Runner
from chassis.listing import describe_lists
from chassis.measures import Measures
from chassis.outbox import Relay
from chassis.routing import route_by_collection
from chassis.settings import Settings
from chassis.sweeping import SWEEP
from chassis.telemetry import Tracing, configure_logs, http_client
from chassis.tokens import FETCH_PROBLEMS, Verifier

# How long what was begun without a request may take at the end of a process.
STOP_SECONDS = 1.5

Resource = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def create_service(
    part: str, *routers: APIRouter, metadata: MetaData, description: str,
    consumes: Mapping[str, Handler] | None = None, keeps: Keep | None = None, jobs: Sequence[Job | Deferred] = (),
    resources: Sequence[Resource] = (), body_limits: Mapping[str, str] | None = None,
) -> FastAPI:  # fmt: skip
    """A part's app. `resources` are opened after the database and closed before it; `body_limits` maps a path's pattern
    to the Settings field that bounds its body, where that isn't `body_limit`; `keeps` takes all events that the part
    hears, in place of what `consumes` of them.

    What it opens at start is on `app.state`: settings, clock, tracing, measures, http, database, verifier, account,
    relay, runner. Tests set settings, clock, tracing, http or verifier before. A resource may set `direct`: see there.
    """
    app = FastAPIOffline(
        title=f"MOps {part}",
        version="1",
        description=description,
        lifespan=_lifespan(jobs, resources),
        generate_unique_id_function=lambda route: route.name,
        responses=problems.RESPONSES,
        separate_input_output_schemas=False,
        redoc_url=None,
        # Otherwise the page shows the contract to somebody else's validator.
        swagger_ui_parameters={"validatorUrl": None},
        # FastAPI's own spans would hold whole URLs, and a webhook's URL is a secret.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.state.part = part
    app.state.consumes = {**WORKSPACE_EVENTS, **(consumes or {})}
    app.state.keeps = keeps
    app.state.constraints = {
        str(constraint.name): tuple(column.name for column in constraint.columns if column.name != "workspace_id")
        for table in metadata.tables.values()
        for constraint in table.constraints
        if constraint.name and isinstance(constraint, ColumnCollectionConstraint)
    }
    app.state.clock = system_clock
    app.state.direct = None
    for router in (*routers, audit_router(part), jobs_router(part), inbox_router, health.router):
        app.include_router(router)
    route_by_collection(app)
    problems.install(app)
    idempotency.install(app)
    app.add_middleware(Edge, limits=dict(body_limits or {}))
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
                if model.__name__ in schemas:
                    raise ValueError(f"{model.__name__} is what errors are called: give the part's own another name")
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


def _lifespan(jobs: Sequence[Job | Deferred], resources: Sequence[Resource]) -> Any:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        state = app.state
        state.settings = settings = getattr(state, "settings", None) or Settings(part=state.part)
        configure_logs(settings.log_format)
        async with AsyncExitStack() as stack:
            if getattr(state, "tracing", None) is None:
                state.tracing = Tracing.to(settings)
                stack.push_async_callback(asyncio.to_thread, state.tracing.close)
            state.measures = Measures()
            if getattr(state, "http", None) is None:
                state.http = await stack.enter_async_context(http_client())
            state.database = database = Database(
                settings.database_url, settings.worker_role, settings.database_pool, state.part, lambda: state.clock()
            )
            stack.push_async_callback(database.close)
            state.tracing.watch(database.engine)
            if state.tracing.records:
                database.watch_read = state.tracing.statement
            if getattr(state, "verifier", None) is None:
                # Other issuers may be behind the company's proxy and certificates.
                outside = await stack.enter_async_context(httpx.AsyncClient()) if settings.trusted_issuers else None
                state.verifier = Verifier(
                    settings.issuer_url, state.http, trusted=settings.trusted_issuers, outside=outside,
                    keys_at=settings.url("gateway"),
                )  # fmt: skip
            state.account = ServiceAccount(
                settings.part,
                settings.service_secret.get_secret_value(),
                settings.url("gateway"),
                state.http,
                # Whatever hour it is for the part: by this clock tokens are issued and checked.
                state.verifier.clock,
            )
            state.runner = runner = Runner(app, (*jobs, SWEEP))
            state.relay = relay = Relay(
                settings, database, state.http, state.account, state.clock, state.tracing, state.measures,
                after_delivery=runner.wake_after_events,
            )  # fmt: skip
            database.subscribers = settings.subscribers

            def look_round() -> None:
                relay.wake()
                runner.wake()

            database.after_commit = look_round
            for resource in resources:
                await stack.enter_async_context(resource(app))
            if getattr(state, "background", True):
                learning = asyncio.create_task(_learn_keys(state.verifier))
                stack.push_async_callback(_end, {learning: learning.cancel})
                working = {asyncio.create_task(each.run()): each.stop for each in (relay, runner)}
                stack.push_async_callback(_end, working)
            yield

    return lifespan


async def _end(tasks: Mapping[asyncio.Task[None], Callable[[], object]]) -> None:
    """Asks each task to stop, and cancels those that can't in time: they let go of what they leased."""
    for stop in tasks.values():
        stop()
    _, late = await asyncio.wait(tasks, timeout=STOP_SECONDS)
    for task in late:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _learn_keys(verifier: Verifier) -> None:
    """Fetches the issuer's keys as soon as it is there, so that the first caller needn't wait for them."""
    while not verifier.keys:
        with suppress(*FETCH_PROBLEMS):
            await verifier.fetch()
        await asyncio.sleep(0.1)
