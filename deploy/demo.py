"""Decides how the demo workspace is filled: once, by two years of its team's acts, all services in this process."""

import asyncio
import gc
import heapq
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx
from fastapi import FastAPI
from sqlalchemy import MetaData, delete, event

import gateway.app
import services.assets.app
import services.assets.seed
import services.budget.app
import services.budget.seed
import services.goals.app
import services.goals.seed
import services.metrics.app
import services.metrics.seed
from chassis import stack
from chassis.db import as_owner, system_clock
from chassis.demo import ZONE, Act, Stage, hour, month
from chassis.settings import Settings
from deploy.credentials import DEMO_ROLES, Credentials
from services.metrics.judging.actions import judge_events
from services.metrics.rollup.actions import count_events

APPS: dict[str, FastAPI] = {
    "gateway": gateway.app.app,
    "goals": services.goals.app.app,
    "assets": services.assets.app.app,
    "budget": services.budget.app.app,
    "metrics": services.metrics.app.app,
}
# Whose rows of the demo workspace are the acts' work: not the gateway's, which hold its clients.
FILLED: dict[str, MetaData] = {
    "goals": services.goals.db.METADATA,
    "assets": services.assets.db.METADATA,
    "budget": services.budget.db.METADATA,
    "metrics": services.metrics.db.METADATA,
}
BEGUN, PLANTED = "demo begun", "demo planted"


async def ensure(
    admin_dsn: str,
    made: Credentials,
    settings_of: Callable[[stack.Part], Mapping[str, str]],
    home_of: Callable[[str], Path],
    say: Callable[[str], None],
    size: float,
) -> None:
    """Fills the demo workspace, unless that was done before or somebody else began to use it. What was broken off is
    done anew."""
    mark = await _mark(admin_dsn)
    workspace_id = UUID(made.clients["demo-admin"]["workspace_id"])
    if mark == PLANTED or (mark != BEGUN and await _is_used(admin_dsn, workspace_id)):
        return
    if mark == BEGUN:
        await _clear(admin_dsn, made.stack, workspace_id)
    await _set_mark(admin_dsn, BEGUN)
    await plant(made, settings_of, home_of, size, datetime.now(UTC), say)
    await _set_mark(admin_dsn, PLANTED)


async def plant(
    made: Credentials, settings_of: Callable[[stack.Part], Mapping[str, str]], home_of: Callable[[str], Path],
    size: float, now: datetime, say: Callable[[str], None],
) -> None:  # fmt: skip
    """Plays all acts up to `now`. The same day gives the same workspace, but for ids and secrets."""
    anchor = now.astimezone(ZONE).date()
    # It ends soon, and until then holds what it made; to look through that for cycles took a fifth of the time.
    gc.disable()
    async with _stage(made, settings_of, home_of, now) as stage:
        # The workspace was announced today; only from then on is there a yesterday.
        await _deliver()
        told = 0
        for act in _acts(anchor, size):
            stage.now = act.at
            if act.at.year != told:
                told = act.at.year
                say(f"demo workspace: {told}")
            await act.do(stage)
        stage.now = now
        await _settle(stage)


def _acts(anchor: date, size: float) -> Iterator[Act]:
    campaigns = services.goals.seed.campaigns(anchor)
    return heapq.merge(
        services.goals.seed.acts(anchor, campaigns),
        services.budget.seed.acts(anchor, campaigns),
        services.assets.seed.acts(anchor, campaigns),
        services.metrics.seed.acts(anchor, campaigns, size),
        _by_itself(anchor, campaigns),
        key=lambda act: act.at,
    )


def _by_itself(anchor: date, campaigns: Sequence[Mapping[str, Any]]) -> Iterator[Act]:
    """What services do unasked: soon after each midnight with which a flight begins or ends, and a few days into each
    month, when the last one's numbers are all there."""
    edges = [date.fromisoformat(each["flight"][edge]) for each in campaigns for edge in ("start", "end")]
    firsts = [month(anchor, after) for after in range(-24, 1)]
    for day in sorted({firsts[0] - timedelta(days=5), *edges, *(first + timedelta(days=4) for first in firsts)}):
        if day <= anchor:
            yield Act(hour(day, 0.1), _settle)


async def _settle(stage: Stage) -> None:
    """All news are heard, and what follows from them and from the hour is done."""
    await stage.be_done()
    await _deliver()
    await asyncio.gather(*(app.state.runner.run_due() for app in APPS.values()))
    await _deliver()


async def _count() -> None:
    """What was posted is in every number, and no job moves one afterwards."""
    await count_events(APPS["metrics"])
    await judge_events(APPS["metrics"])


async def _deliver() -> None:
    """Until nobody has anything to tell, what was told has made nobody tell anything, and so on."""
    waiting = [(app.state.relay, subscriber) for app in APPS.values() for subscriber in app.state.settings.subscribers]
    while waiting:
        took = await asyncio.gather(*(relay.deliver(subscriber) for relay, subscriber in waiting))
        heard = [subscriber for (_, subscriber), count in zip(waiting, took, strict=True) if count]
        # Only who heard something can have something new to tell, and only to whom more may wait.
        waiting = [
            (app.state.relay, subscriber)
            for name, app in APPS.items()
            for subscriber in app.state.settings.subscribers
            if name in heard or subscriber in heard
        ]


@asynccontextmanager
async def _stage(
    made: Credentials, settings_of: Callable[[stack.Part], Mapping[str, str]], home_of: Callable[[str], Path],
    now: datetime,
) -> AsyncIterator[Stage]:  # fmt: skip
    """All apps in this process, with their own logins and databases, reaching each other without a socket."""
    # A line for each of some thousand requests would tell nobody anything.
    logging.disable(logging.INFO)
    urls = {name: f"http://{name}" for name in APPS}
    async with AsyncExitStack() as opened:
        mounts = {url: httpx.ASGITransport(APPS[name]) for name, url in urls.items()}
        http = await opened.enter_async_context(httpx.AsyncClient(mounts=mounts, timeout=60))
        stage = Stage(http, urls, {}, _count)
        stage.now = now
        for name, app in APPS.items():
            own = {key.removeprefix("MOPS_").lower(): value for key, value in settings_of(stack.parts()[name]).items()}
            app.state.settings = Settings.model_validate(
                {**own, "urls": urls, "public_urls": urls, "home": home_of(name), "read_seconds": 30}
            )
            # Tokens are today's: the gateway issues them, and a service checks them, by the real clock.
            app.state.clock = system_clock if name == "gateway" else lambda: stage.now
            app.state.http = http
            app.state.background = False
            await opened.enter_async_context(app.router.lifespan_context(app))
            # If power fails it is all done anew, so no commit need wait for the disk.
            event.listen(app.state.database.engine.sync_engine, "connect", _in_no_hurry_for_the_disk)
        stage.roles = {role: await _authorization(made, role, stage) for role in DEMO_ROLES}
        yield stage


def _in_no_hurry_for_the_disk(connection: Any, _: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("SET synchronous_commit TO off")
    cursor.close()
    connection.commit()


async def _authorization(made: Credentials, role: str, stage: Stage) -> dict[str, str]:
    """The header of a token that the client of clients.json is given for its secret."""
    client = made.clients[f"demo-{role}"]
    answer = await stage.http.post(
        f"{stage.urls['gateway']}/oauth/token",
        data={"grant_type": "client_credentials"},
        auth=(client["client_id"], client["client_secret"]),
    )
    return {"Authorization": f"Bearer {answer.raise_for_status().json()['access_token']}"}


async def _mark(admin_dsn: str) -> str | None:
    """Kept as a comment on a schema, so that it goes where the data goes."""
    connection = await asyncpg.connect(admin_dsn)
    try:
        found: str | None = await connection.fetchval(
            "SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = 'metrics'"
        )
        return found
    finally:
        await connection.close()


async def _set_mark(admin_dsn: str, mark: str) -> None:
    connection = await asyncpg.connect(admin_dsn)
    try:
        await connection.execute(f"COMMENT ON SCHEMA metrics IS '{mark}'")
    finally:
        await connection.close()


async def _is_used(admin_dsn: str, workspace_id: UUID) -> bool:
    connection = await asyncpg.connect(admin_dsn)
    try:
        return bool(
            await connection.fetchval(
                "SELECT EXISTS (SELECT FROM goals.campaign WHERE workspace_id = $1)"
                " OR EXISTS (SELECT FROM metrics.source WHERE workspace_id = $1)",
                workspace_id,
            )
        )
    finally:
        await connection.close()


async def _clear(admin_dsn: str, stack_name: str, workspace_id: UUID) -> None:
    """Takes away what acts that were broken off left behind; nobody has served it yet."""
    for part, metadata in FILLED.items():
        async with as_owner(admin_dsn, stack_name, part) as session:
            for table in reversed(metadata.sorted_tables):
                if "workspace_id" in table.c and table.name != "workspace":
                    await session.execute(delete(table).where(table.c.workspace_id == workspace_id))
