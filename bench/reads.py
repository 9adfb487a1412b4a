"""Decides what REST reads cost beside a bare FastAPI route: the same SQL, in the same tenant transaction, by asyncpg.

Left out: background work of the service (relay, jobs), fetching the gateway's keys, the first look at a token, TLS.
"""

import asyncio
import gc
import json
import multiprocessing
import os
import random
import statistics
import tempfile
from collections.abc import Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import asyncpg
import psutil
import uvicorn
import uvloop
from fastapi import FastAPI, Query, Request, Response
from pydantic_core import to_json

from bench.load import Told, drive, fetch, request, until_it_answers
from chassis import migrate
from chassis.fields import new_id
from chassis.roles import scopes_of
from chassis.serving import collect_seldom, served
from chassis.testing import TestStack
from deploy.postgres import cluster, databases, roles
from gateway.identity.token.signing import Grant, access_token

BAR = 0.7
CAMPAIGNS, GOALS = 4_000, 12_000
ROUNDS, SECONDS, SOCKETS = 7, 1.5, 8
POOL = 8
SIDES = ("mops", "bare", "quickest")
PREFIX = {"quickest": "/quickest"}

CAMPAIGN = (
    "id, name, slug, brief, owner, flight_start, flight_end, channels, territories, state, state_at, state_by,"
    " state_reason, created_at, version"
)
GOAL = (
    "g.id, g.title, g.metric_key, g.metric_version, g.kind, g.baseline_from, g.baseline_to, g.change_percent,"
    " g.asked_value, g.window_start, g.window_due, g.owner, g.relevance, g.objective_id, g.state, g.target_value,"
    " g.baseline_value, g.activated_at, g.activated_by, g.health, g.closed_at, g.closed_by, g.closing_reason,"
    " g.outcome_value, g.needs_review, g.created_at, g.version"
)


# --- the bare route ---------------------------------------------------------------------------------------------------


def bare_app(dsn: str, workspace: UUID) -> FastAPI:
    """Routes over an asyncpg pool that answer what the service answers; no token, no filters, no errors, no log."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> Any:
        settings = {"jit": "off"}
        async with asyncpg.create_pool(dsn, min_size=POOL, max_size=POOL, server_settings=settings) as pool:
            app.state.pool = pool
            yield

    app = FastAPI(lifespan=lifespan)

    @asynccontextmanager
    async def tenant(request: Request) -> Any:
        async with request.app.state.pool.acquire() as connection, connection.transaction():
            await connection.execute("SELECT set_config('mops.workspace', $1, true)", str(workspace))
            yield connection

    async def campaigns_with_goals(connection: Any, rows: Sequence[Any]) -> list[dict[str, Any]]:
        goals: dict[UUID, list[UUID]] = {row["id"]: [] for row in rows}
        linked = "SELECT campaign_id, goal_id FROM goal_campaign WHERE campaign_id = ANY($1) ORDER BY goal_id"
        for key, linked_id in await connection.fetch(linked, list(goals)):
            goals[key].append(linked_id)
        return [
            {
                "id": row["id"], "name": row["name"], "slug": row["slug"], "brief": row["brief"], "owner": row["owner"],
                "flight": {"start": row["flight_start"], "end": row["flight_end"]}, "channels": row["channels"],
                "territories": row["territories"], "goal_ids": goals[row["id"]], "state": row["state"],
                "state_at": row["state_at"], "state_by": row["state_by"], "state_reason": row["state_reason"],
                "confirmations": [], "version": row["version"], "created_at": row["created_at"],
            }
            for row in rows
        ]  # fmt: skip

    async def goals_with_campaigns(connection: Any, rows: Sequence[Any]) -> list[dict[str, Any]]:
        campaigns: dict[UUID, list[UUID]] = {row["id"]: [] for row in rows}
        linked = "SELECT goal_id, campaign_id FROM goal_campaign WHERE goal_id = ANY($1) ORDER BY campaign_id"
        for key, linked_id in await connection.fetch(linked, list(campaigns)):
            campaigns[key].append(linked_id)
        return [
            {
                "id": row["id"], "title": row["title"], "campaign_ids": campaigns[row["id"]],
                "metric": {"key": row["metric_key"], "version": row["metric_version"]}, "kind": row["kind"],
                "baseline": {"from": row["baseline_from"], "to": row["baseline_to"]} if row["baseline_to"] else None,
                "target": {"change_percent": row["change_percent"], "value": row["asked_value"]},
                "window": {"start": row["window_start"], "due": row["window_due"]}, "owner": row["owner"],
                "relevance": row["relevance"], "objective_id": row["objective_id"], "state": row["state"],
                "target_value": row["target_value"], "baseline_value": row["baseline_value"],
                "activated_at": row["activated_at"], "activated_by": row["activated_by"], "health": row["health"],
                "closed_at": row["closed_at"], "closed_by": row["closed_by"], "closing_reason": row["closing_reason"],
                "outcome_value": row["outcome_value"], "needs_review": row["needs_review"],
                "version": row["version"], "created_at": row["created_at"],
            }
            for row in rows
        ]  # fmt: skip

    def answer(content: Any, request: Request) -> Any:
        # As people write it, FastAPI's own encoder; or the quickest that there is, pydantic's writer and no encoder.
        if request.url.path.startswith("/quickest"):
            return Response(to_json(content), media_type="application/json")
        return content

    def cursor_of(rows: list[Any], limit: int) -> str | None:
        return str(rows[limit]["id"]) if len(rows) > limit else None

    @app.get("/quickest/v1/campaigns/{id}")
    @app.get("/v1/campaigns/{id}")
    async def get_campaign(id: UUID, request: Request) -> Any:
        async with tenant(request) as connection:
            row = await connection.fetchrow(f"SELECT {CAMPAIGN} FROM campaign WHERE id = $1", id)
            (found,) = await campaigns_with_goals(connection, [row])
        return answer(found, request)

    @app.get("/quickest/v1/campaigns")
    @app.get("/v1/campaigns")
    async def list_campaigns(request: Request, limit: int = 50) -> Any:
        async with tenant(request) as connection:
            rows = await connection.fetch(f"SELECT {CAMPAIGN} FROM campaign ORDER BY id LIMIT $1", limit + 1)
            found = await campaigns_with_goals(connection, rows[:limit])
        return answer({"items": found, "next_cursor": cursor_of(rows, limit)}, request)

    @app.get("/quickest/v1/goals")
    @app.get("/v1/goals")
    async def list_goals(
        request: Request, limit: int = 50, limit_per: int = 0, campaign_id: Annotated[list[UUID], Query()] = []
    ) -> Any:
        async with tenant(request) as connection:
            if not limit_per:
                rows = await connection.fetch(f"SELECT {GOAL} FROM goal g ORDER BY id LIMIT $1", limit + 1)
                found = await goals_with_campaigns(connection, rows[:limit])
                return answer({"items": found, "next_cursor": cursor_of(rows, limit)}, request)
            rows = await connection.fetch(
                f"""SELECT wanted.key, each.* FROM unnest($1::uuid[]) AS wanted(key) CROSS JOIN LATERAL (
                        SELECT {GOAL} FROM goal g JOIN goal_campaign l
                        ON l.workspace_id = g.workspace_id AND l.goal_id = g.id AND l.campaign_id = wanted.key
                        ORDER BY g.id LIMIT $2) each ORDER BY each.id""",
                campaign_id, limit_per + 1,
            )  # fmt: skip
            keys: dict[UUID, list[Any]] = {key: [] for key in campaign_id}
            for row in rows:
                keys[row["key"]].append(row)
            kept = [row for group in keys.values() for row in group[:limit_per]]
            found_all = iter(await goals_with_campaigns(connection, kept))
        groups = [
            {"key": key, "items": [next(found_all) for _ in group[:limit_per]],
             "next_cursor": cursor_of(group, limit_per)}
            for key, group in keys.items()
        ]  # fmt: skip
        return answer({"groups": groups}, request)

    return app


# --- the two processes ------------------------------------------------------------------------------------------------


def serve_bare(dsn: str, workspace: UUID, port: int) -> None:
    config = uvicorn.Config(
        bare_app(dsn, workspace), host="127.0.0.1", port=port, log_config=None, access_log=False, loop="uvloop",
        http="httptools",
    )  # fmt: skip
    uvicorn.Server(config).run()


def serve_goals(stack: TestStack, port: int) -> None:
    """As `make up` serves a part."""
    from joserfc.jwk import KeySet

    from chassis.tokens import Verifier
    from services.goals.app import app

    # Log lines are made and written, to where they cost no disk.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    app.state.settings = stack.settings("goals").model_copy(update={"database_pool": POOL, "log_format": "json"})
    app.state.background = False
    app.state.http = object()
    app.state.verifier = Verifier("http://gateway", app.state.http)
    app.state.verifier.trust(KeySet([stack.key]).as_dict(private=False))
    collect_seldom()
    uvicorn.Server(served(app, host="127.0.0.1", port=port)).run()


# --- the workspace ----------------------------------------------------------------------------------------------------


async def prepare(stack: TestStack) -> tuple[UUID, list[UUID]]:
    """Migrated schemas, and two workspaces of a few years' rows each; the first one's id and its campaigns."""
    await roles.ensure(stack.admin_dsn, stack.name, stack.passwords)
    await migrate.upgrade(stack.admin_dsn, "goals", stack.name)
    connection = await asyncpg.connect(stack.admin_dsn, server_settings={"search_path": "goals"})
    workspaces = [new_id(), new_id()]
    found = [await fill(connection, workspace) for workspace in workspaces]
    await connection.execute("ANALYZE")
    await connection.close()
    return workspaces[0], found[0]


async def fill(connection: Any, workspace: UUID) -> list[UUID]:
    chance = random.Random(7)
    await connection.execute(
        "INSERT INTO workspace (workspace_id, name, zone, currency) VALUES ($1, 'Bench', 'Europe/Berlin', 'EUR')",
        workspace,
    )
    start = datetime(2024, 1, 1, tzinfo=UTC)
    objectives = [new_id() for _ in range(20)]
    await _copy(connection, "objective", "workspace_id id name stakeholder needs created_at", [
        (workspace, each, f"Objective {number}", "ceo", "", start) for number, each in enumerate(objectives)
    ])  # fmt: skip
    campaigns = [new_id() for _ in range(CAMPAIGNS)]
    brief = "More clicks from people who bought once, over a sequence of three messages and a landing page. " * 2
    await _copy(connection, "campaign", f"workspace_id {CAMPAIGN.replace(',', '')}", [
        (workspace, each, f"Spring launch {number}", f"spring-launch-{number}", brief, "ann@example.com",
         (start + timedelta(days=number % 700)).date(), (start + timedelta(days=number % 700 + 90)).date(),
         ["email", "social"], ["DE", "AT", "CH"], chance.choice(["idea", "planned", "live", "completed"]),
         start, "ann@example.com", None, start + timedelta(minutes=number), 1)
        for number, each in enumerate(campaigns)
    ])  # fmt: skip
    goals = [new_id() for _ in range(GOALS)]
    columns = f"workspace_id {GOAL.replace('g.', '').replace(',', '')} evaluate_at"
    await _copy(connection, "goal", columns, [
        (workspace, each, f"Increase total clicks by a quarter {number}", "email.total_clicks", 1, "increase",
         start.date(), (start + timedelta(days=365)).date(), 25, None, (start + timedelta(days=365)).date(),
         (start + timedelta(days=730)).date(), "ann@example.com", "Clicks lead to sales.", chance.choice(objectives),
         "active", 125000.0, 100000.0, start, "ann@example.com", "on_track", None, None, None, None, False,
         start + timedelta(minutes=number), 1, start + timedelta(days=9999))
        for number, each in enumerate(goals)
    ])  # fmt: skip
    links = {(goal, campaign) for goal in goals for campaign in chance.sample(campaigns, chance.randint(1, 2))}
    await _copy(connection, "goal_campaign", "workspace_id goal_id campaign_id", [
        (workspace, goal, campaign) for goal, campaign in sorted(links)
    ])  # fmt: skip
    return campaigns


async def _copy(connection: Any, table: str, columns: str, rows: list[Any]) -> None:
    await connection.copy_records_to_table(table, schema_name="goals", columns=columns.split(), records=rows)


# --- the rounds -------------------------------------------------------------------------------------------------------


def questions(campaigns: list[UUID]) -> dict[str, list[str]]:
    """What is asked, by name: paths to ask in turn."""
    some = campaigns[:: len(campaigns) // 64][:64]
    named = "&".join(f"campaign_id={each}" for each in some[:50])
    return {
        "one_campaign": [f"/v1/campaigns/{each}" for each in some],
        "list_of_50_campaigns": ["/v1/campaigns?limit=50"],
        "list_of_50_goals": ["/v1/goals?limit=50"],
        "goals_of_50_campaigns": [f"/v1/goals?limit_per=3&{named}"],
    }


def _comparable(body: bytes) -> Any:
    """An answer without what may differ: fields that the service has grown, spellings of equal values, cursors."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(each) for key, each in value.items() if key != "next_cursor"}
        if isinstance(value, list):
            return [plain(each) for each in value]
        return value.replace("+00:00", "Z") if isinstance(value, str) else value

    return plain(json.loads(body))


def _holds(ours: Any, theirs: Any) -> bool:
    if isinstance(theirs, dict):
        return all(key in ours and _holds(ours[key], value) for key, value in theirs.items())
    if isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(_holds, ours, theirs))
    return bool(ours == theirs)


async def measure(
    pids: dict[str, int], ports: dict[str, int], headers: dict[str, str], campaigns: list[UUID]
) -> dict[str, dict[str, list[tuple[Told, float]]]]:
    """Per question and side: the rounds, each with the server's CPU seconds per request. Sides take turns."""
    found: dict[str, dict[str, list[tuple[Told, float]]]] = {}
    processes = {side: psutil.Process(pid) for side, pid in pids.items()}
    for name, paths in questions(campaigns).items():
        wires = {
            side: [request(f"http://127.0.0.1:{port}{PREFIX.get(side, '')}{path}", headers) for path in paths]
            for side, port in ports.items()
        }
        bodies = {side: _comparable(await fetch(ports[side], wires[side][0])) for side in ports}
        for side in ("bare", "quickest"):
            assert _holds(bodies["mops"], bodies[side]), f"{name}: the two answer differently"
        found[name] = {side: [] for side in ports}
        for side, port in ports.items():
            await drive(port, wires[side], SOCKETS, SECONDS / 3)
        for number in range(ROUNDS):
            for side in sorted(ports, reverse=number % 2 == 1):
                before = processes[side].cpu_times()
                told = await drive(ports[side], wires[side], SOCKETS, SECONDS)
                after = processes[side].cpu_times()
                spent = after.user + after.system - before.user - before.system
                found[name][side].append((told, spent / told.requests))
    return found


def tell(found: dict[str, dict[str, list[tuple[Told, float]]]]) -> None:
    def middle(rounds: list[tuple[Told, float]], figure: Callable[[tuple[Told, float]], float]) -> float:
        return statistics.median(map(figure, rounds))

    print(__doc__.partition("\n")[2].strip() if __doc__ else "")
    print(f"{ROUNDS} rounds of {SECONDS} s, {SOCKETS} sockets, one process each; medians\n")
    print(f"{'':24}{'requests/s':>33}{'p50 ms':>27}{'server CPU ms/request':>30}")
    print(f"{'':24}" + "".join(f"{side:>{width}}" for width in (11, 9, 10) for side in SIDES))
    ratios = {}
    for name, sides in found.items():
        row = f"{name:24}"
        for figure, width, digits in (
            (lambda each: each[0].per_second, 11, 0),
            (lambda each: each[0].median_ms, 9, 2),
            (lambda each: each[1] * 1000, 10, 3),
        ):
            row += "".join(f"{middle(sides[side], figure):{width}.{digits}f}" for side in SIDES)
        print(row)
        # Round by round, as both sides of a round met the same neighbours on the machine.
        pairs = list(zip(sides["mops"], sides["bare"], strict=True))
        ratios[name] = statistics.median(mops[0].per_second / bare[0].per_second for mops, bare in pairs)
        ratios[f"{name}_cpu"] = statistics.median(bare[1] / mops[1] for mops, bare in pairs)
        pairs = list(zip(sides["mops"], sides["quickest"], strict=True))
        ratios[f"{name}_quickest"] = statistics.median(mops[0].per_second / bare[0].per_second for mops, bare in pairs)
    print()
    bars = {name: BAR for name in ratios if not name.endswith(("_cpu", "_quickest"))}
    print(
        json.dumps({"bench": "reads", "ratios": {key: round(value, 3) for key, value in ratios.items()}, "bars": bars})
    )


def main() -> None:
    forked = multiprocessing.get_context("fork")
    # What both inherit and neither uses is looked through by neither.
    gc.collect()
    gc.freeze()
    with tempfile.TemporaryDirectory(prefix="mops-bench-") as folder, cluster.running(Path(folder) / "postgres") as up:
        name = f"mops_bench_{os.getpid()}"
        from secrets import token_hex

        admin_dsn = asyncio.run(databases.create(up.admin_dsn, name))
        stack = TestStack(
            admin_dsn=admin_dsn, name=name, home=Path(folder), clock=None,  # type: ignore[arg-type]
            passwords={part: token_hex(8) for part in ("gateway", "goals", "assets", "budget", "metrics")},
            service_secrets={part: token_hex(8) for part in ("gateway", "goals", "assets", "budget", "metrics")},
        )  # fmt: skip
        workers = []
        try:
            workspace, campaigns = asyncio.run(prepare(stack))
            held = ["specialist"]
            grant = Grant("client:bench", "bench", workspace, held, sorted(scopes_of(held)), timedelta(hours=1))
            token = access_token(grant, stack.key, "http://gateway", datetime.now(UTC))
            ports = {"mops": 28_461, "bare": 28_462, "quickest": 28_462}
            dsn = stack.settings("goals").database_url.get_secret_value()
            workers = [
                forked.Process(target=serve_goals, args=(stack, ports["mops"])),
                forked.Process(target=serve_bare, args=(dsn, workspace, ports["bare"])),
            ]
            for each in workers:
                each.start()
            ours, theirs = (each.pid or 0 for each in workers)
            pids = {"mops": ours, "bare": theirs, "quickest": theirs}

            async def run() -> Any:
                for port in ports.values():
                    await until_it_answers(port)
                return await measure(pids, ports, {"Authorization": f"Bearer {token}"}, campaigns)

            tell(uvloop.run(run()))
        finally:
            for each in workers:
                each.terminate()
                each.join(10)
            asyncio.run(databases.drop(up.admin_dsn, name))
            asyncio.run(roles.drop(up.admin_dsn, name))


if __name__ == "__main__":
    main()
