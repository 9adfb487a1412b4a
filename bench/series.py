"""Decides what exact unique counts cost: twelve months of fifty campaigns, beside count(distinct) on the raw rows, and
at twenty times as many events of the same people and messages.

Both ask one Postgres as the route does, points made and all; the second workspace has the same pairs, each told more
often. Left out: HTTP. BENCH_EVENTS (1,000,000) are in the smaller one.
"""

import asyncio
import json
import os
import statistics
import tempfile
import time
from datetime import UTC, date, datetime
from pathlib import Path
from secrets import token_hex
from typing import Any
from uuid import UUID

import asyncpg

from chassis import migrate
from chassis.db import Database, zone_of
from chassis.fields import new_id
from chassis.serving import collect_seldom
from chassis.testing import TestStack
from deploy.postgres import cluster, databases, roles
from services.metrics.metric.catalogue import CATALOGUE
from services.metrics.rollup.folding import NOTE, fold
from services.metrics.series.actions import Question, answer_one, points_of
from services.metrics.series.rules import Grain, GroupBy, Scope, periods
from services.metrics.series.store import read_basis

EVENTS = int(os.environ.get("BENCH_EVENTS", "1000000"))
TIMES = int(os.environ.get("BENCH_TIMES", "20"))
ROUNDS, CAMPAIGNS = 60, 50
BARS = {"p50_ms": 10.0, "at_twenty_times": 1.1}
SINCE, UNTIL = date(2025, 12, 1), date(2026, 12, 1)
# One in three opens, of a pair; each pair is opened `times` times, over the days of one month.
FILL = """
    INSERT INTO occurrence (workspace_id, id, source_id, type, recipient_id, message_id, campaign_id, occurred_at,
        received_at, verdict, reasons)
    SELECT $1, cast(left(first_id(at)::text, 24) || lpad(to_hex(n), 12, '0') AS uuid), $2,
        CASE n % 3 WHEN 0 THEN 'opened' WHEN 1 THEN 'delivered' ELSE 'clicked' END,
        cast(md5((pair % 50000)::text) AS uuid), 'm' || pair, ($3::uuid[])[1 + pair % $4], at, at, 'human', '{}'
    FROM (
        SELECT n, n / 3 % $5 AS pair,
            $6::timestamptz + (n / 3 % $5 / $4 % 12) * interval '30.4 days' + (n % 40000) * interval '1 minute' AS at
        FROM generate_series($7::bigint, $8::bigint - 1) AS n
    ) AS each ON CONFLICT DO NOTHING
"""


async def fill(admin: Any, workspace: UUID, events: int, pairs: int) -> None:
    await admin.execute(
        "INSERT INTO workspace (workspace_id, name, zone, currency) VALUES ($1, 'Bench', 'Europe/Berlin', 'EUR')",
        workspace,
    )
    campaigns, source = [new_id() for _ in range(CAMPAIGNS)], new_id()
    for number, each in enumerate(campaigns):
        await admin.execute(
            "INSERT INTO campaign (workspace_id, id, slug, name) VALUES ($1, $2, $3, $3)", workspace, each, f"c{number}"
        )
    start = datetime(2025, 12, 1, 12, tzinfo=UTC)
    for place in range(0, events, 500_000):
        until = min(events, place + 500_000)
        await admin.execute(FILL, workspace, source, campaigns, CAMPAIGNS, pairs, start, place, until)
    note = NOTE.format(WORKSPACE="$1", ZONE="'Europe/Berlin'")
    await admin.execute(f"WITH fresh AS (SELECT * FROM occurrence WHERE workspace_id = $1) {note}", workspace)


async def ask(database: Database, workspace: UUID) -> tuple[float, int]:
    """Milliseconds of one question with all its points, and the sum of these."""
    scope = Scope(SINCE, UNTIL, Grain.MONTH, group_by=GroupBy.CAMPAIGN)
    metric = CATALOGUE["email.unique_recipient_impressions"]
    async with database.tenant(workspace) as session:
        began = time.perf_counter()
        question = Question.of(metric, {}, scope, await zone_of(session), database.clock())
        basis = await read_basis(session, question.needs)
        numbers, groups, _ = await answer_one(session, question, basis, None, CAMPAIGNS + 1)
        spans = periods(SINCE, UNTIL, Grain.MONTH)
        points = [point for group in groups for point in points_of(question, numbers, group, spans, basis)]
        took = (time.perf_counter() - began) * 1000
    assert len(points) == CAMPAIGNS * len(spans)
    return took, sum(int(point.value or 0) for point in points)


async def run(stack: TestStack) -> None:
    await roles.ensure(stack.admin_dsn, stack.name, stack.passwords)
    await migrate.upgrade(stack.admin_dsn, "metrics", stack.name)
    admin = await asyncpg.connect(stack.admin_dsn, server_settings={"search_path": "metrics"})
    settings = stack.settings("metrics")
    database = Database(
        settings.database_url, settings.worker_role, 5, "metrics", lambda: datetime(2026, 11, 1, tzinfo=UTC)
    )
    await admin.execute("SELECT keep_occurrences('2025-11-01', '2027-02-01')")
    small, large = new_id(), new_id()
    for workspace, events in ((small, EVENTS), (large, EVENTS * TIMES)):
        began = time.perf_counter()
        await fill(admin, workspace, events, EVENTS // 3)
        folded = 1
        while folded:
            async with database.tenant(workspace) as session:
                folded = await fold(session)
        print(f"{events:,} events in {time.perf_counter() - began:.0f} s", flush=True)
    await admin.execute("ANALYZE")
    collect_seldom()  # as whatever serves does
    found: dict[UUID, list[float]] = {small: [], large: []}
    sums = {}
    for number in range(ROUNDS):
        for workspace in (small, large) if number % 2 else (large, small):
            took, sums[workspace] = await ask(database, workspace)
            found[workspace].append(took)
    began = time.perf_counter()
    rows = await admin.fetch(
        "SELECT campaign_id, date_trunc('month', occurred_at AT TIME ZONE 'Europe/Berlin'),"
        " count(DISTINCT (recipient_id, message_id)) FROM occurrence WHERE workspace_id = $1 AND type = 'opened'"
        " AND occurred_at >= '2025-11-30T23:00Z' AND occurred_at < '2026-11-30T23:00Z' GROUP BY 1, 2",
        small,
    )
    raw = (time.perf_counter() - began) * 1000
    assert sums[small] == sum(row[2] for row in rows), (sums, sum(row[2] for row in rows))
    middle = {workspace: statistics.median(each) for workspace, each in found.items()}
    print(f"p50 {middle[small]:.1f} ms and {middle[large]:.1f} ms; count(distinct) {raw:.0f} ms; {len(rows)} sets")
    ratios = {
        "p50_ms": middle[small], "at_twenty_times": middle[large] / middle[small], "count_distinct": raw / middle[small]
    }  # fmt: skip
    rounded = {name: round(value, 3) for name, value in ratios.items()}
    print(json.dumps({"bench": "series", "ratios": rounded, "bars": BARS}))
    await database.close()
    await admin.close()


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="mops-bench-") as folder, cluster.running(Path(folder) / "postgres") as up:
        name = f"mops_bench_{os.getpid()}"
        admin_dsn = asyncio.run(databases.create(up.admin_dsn, name))
        every = ("gateway", "goals", "assets", "budget", "metrics")
        stack = TestStack(
            admin_dsn=admin_dsn, name=name, home=Path(folder), clock=None,  # type: ignore[arg-type]
            passwords={part: token_hex(8) for part in every}, service_secrets={part: token_hex(8) for part in every},
        )  # fmt: skip
        asyncio.run(run(stack))


if __name__ == "__main__":
    main()
