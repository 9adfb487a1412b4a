"""Decides what a whole stack costs beside PostGraphile with its Postgres: all processes of each, for the big query.

Ours is a stack as `make up` has it: gateway, services, Postgres. PostGraphile stands before a Postgres of its own,
tuned as ours is, and reads as plain tables what ours answered: the same rows, flat, with every sum and share made
before, and for anybody. Each connection asks ours with a token of its own, so that no two share a read. What a stack
does by itself meanwhile counts.
"""

import asyncio
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import psutil

from bench.gateway import queries
from bench.load import drive, fetch, post, until_it_answers
from bench.peers.installed import install
from bench.sampled import CAMPAIGNS
from chassis.stack import parts
from deploy.postgres import cluster
from tests.deploy.until import until
from tests.stack.conftest import Running, database_of_its_own, started_over
from tests.stack.sendgrid import BERLIN, Account

PORT = 28_484  # as its configuration has it
WHO = "demo-manager"
YEAR = datetime.now(BERLIN).year - 1  # one that is over
ROUNDS, SECONDS, WARM_SECONDS, SOCKETS = 5, 1.5, 4.0, 4

THEIRS = """query($limit: Int!) { campaigns: allCampaignsList(first: $limit, orderBy: [PRIMARY_KEY_ASC]) {
  rowId name slug state
  goals: goalsByCampaignIdList { rowId title state metric targetValue }
  budget: budgetByCampaignId { currency allotted committed actual available }
  points: monthsByCampaignIdList { start value numerator denominator } } }"""

Json = dict[str, Any]
Processes = dict[str, psutil.Process]


# --- the two sides ----------------------------------------------------------------------------------------------------


@contextmanager
def both(folder: Path) -> Iterator[tuple[dict[str, Processes], dict[str, list[bytes]], dict[str, int]]]:
    """The processes of each side, what each connection asks, and where. Raises Absent."""
    where = install("postgraphile", folder)
    with tempfile.TemporaryDirectory(prefix="mops-bench-") as made:
        here = Path(made)
        limits = {"MOPS_GRAPH_COST": str(10**12), "MOPS_READ_SECONDS": "10"}
        with (
            cluster.running(here / "ours") as server, cluster.running(here / "flat") as flat,
            database_of_its_own(here / "home", server.admin_dsn) as database,
            started_over(here / "home", database | limits) as stack,
        ):  # fmt: skip
            fill(stack)
            asyncio.run(analyze(database["DATABASE_URL"]))
            asking = {"query": queries(YEAR)["big"]}
            answered = stack.client("gateway", WHO).post("/graphql", json=asking).json()
            asyncio.run(copy(flat.admin_dsn, flattened(answered)))
            command = [where / "node_modules/node/bin/node", where / "node_modules/.bin/postgraphile"]
            environment = {**os.environ, "NODE_ENV": "production", "GRAPHILE_ENV": "production"}
            environment["FLAT_DSN"] = flat.admin_dsn
            peer = subprocess.Popen(command, cwd=where, env=environment, stdout=subprocess.DEVNULL)
            try:
                asyncio.run(until_it_answers(PORT))
                ours = {name: psutil.Process(stack.pid(name)) for name in parts()}
                ours["postgres"] = postmaster(here / "ours")
                theirs = {"postgraphile": psutil.Process(peer.pid), "postgres": postmaster(here / "flat")}
                url, tokens = stack.url("gateway"), [stack.client("gateway", WHO).headers for _ in range(SOCKETS)]
                asked = {"query": THEIRS, "variables": {"limit": CAMPAIGNS}}
                wires = {
                    "ours": [wire(url, asking, **each) for each in tokens],
                    "postgraphile": [wire(f"http://127.0.0.1:{PORT}", asked)],
                }
                yield {"ours": ours, "postgraphile": theirs}, wires, {"ours": stack.port, "postgraphile": PORT}
            finally:
                peer.terminate()
                peer.wait(10)


def wire(url: str, asking: Json, **headers: str) -> bytes:
    said = {"Accept": "application/json"} | {name: headers[name] for name in headers if name == "authorization"}
    return post(f"{url}/graphql", said, json.dumps(asking).encode())


def postmaster(home: Path) -> psutil.Process:
    return psutil.Process(int((home / "data" / "postmaster.pid").read_text().split()[0]))


# --- the rows ---------------------------------------------------------------------------------------------------------


def fill(stack: Running) -> None:
    """Fifty campaigns, each with three goals, a line with money on it and a year of opens and clicks."""
    goals, budget, metrics = (stack.client(part, WHO) for part in ("goals", "budget", "metrics"))

    def make(client: httpx.Client, path: str, **body: Any) -> Json:
        answer = client.post(path, json=body)
        assert answer.is_success, answer.text
        found: Json = answer.json()
        return found

    account, year = Account(), {"start": f"{YEAR}-01-01", "end": f"{YEAR + 1}-01-01"}
    keys = {"public_key": account.public_key}
    source = make(metrics, "/v1/sources", platform="sendgrid", name="Main account", credentials=keys)
    slugs = [f"campaign-{number + 1}" for number in range(CAMPAIGNS)]
    for slug in slugs:
        campaign = make(
            goals, "/v1/campaigns", name=slug, slug=slug, channels=["email"], territories=["DE"], flight=year
        )["id"]  # fmt: skip
        for number in range(3):
            make(
                goals, "/v1/goals", title=f"Goal {number + 1} of {slug}", campaign_ids=[campaign], kind="reach",
                metric={"key": "email.ctr"}, target={"value": 3}, window={"start": year["start"], "due": year["end"]},
            )  # fmt: skip
        line = make(
            budget, "/v1/lines", name=slug, department="demand generation", campaign_id=campaign, currency="EUR",
            period=year, policy="stop",
        )["id"]  # fmt: skip
        make(budget, f"/v1/lines/{line}/allot", amount={"amount": "1234.50", "currency": "EUR"})
    events = [event for slug in slugs for event in happened(slug)]
    for at in range(0, len(events), 1000):
        answer = account.post(metrics, source["webhook_url"], events[at : at + 1000])
        assert answer.is_success, answer.text
    whole_year = {"from": year["start"], "to": year["end"], "grain": "month"}

    def counted() -> bool:
        told = metrics.get("/v1/metrics/email.total_clicks/series", params=whole_year).json()
        return bool(sum(point["value"] or 0 for point in told["series"][0]["points"]) == 12 * CAMPAIGNS)

    until(counted, "every click counts", 30)


def happened(slug: str) -> Iterator[Json]:
    """Each month three people open a message, and one of them clicks."""
    for month in range(1, 13):
        moment = int(datetime(YEAR, month, 15, tzinfo=BERLIN).timestamp())
        for kind, person in (("open", 1), ("open", 2), ("open", 3), ("click", 1)):
            yield {
                "event": kind, "email": f"person{person}@example.com", "timestamp": moment, "category": slug,
                "sg_message_id": f"{slug}-{month}", "sg_event_id": f"{slug}-{month}-{kind}-{person}",
                "url": "https://example.com/" if kind == "click" else None,
            }  # fmt: skip


def flattened(answer: Json) -> list[Json]:
    """What ours answers, in PostGraphile's shape."""
    assert "errors" not in answer, answer["errors"]
    return [
        {
            **{"rowId": each["id"], "name": each["name"], "slug": each["slug"], "state": each["state"]},
            "goals": [
                {
                    **{"rowId": goal["id"], "title": goal["title"], "state": goal["state"]},
                    **{"metric": goal["metric"]["key"], "targetValue": goal["targetValue"]},
                }
                for goal in each["goals"]["nodes"]
            ],
            "budget": {
                "currency": each["budget"]["allotted"]["currency"],
                **{name: money["amount"] for name, money in each["budget"].items()},
            },
            "points": each["series"]["points"],
        }
        for each in answer["data"]["campaigns"]["nodes"]
    ]


async def copy(dsn: str, campaigns: list[Json]) -> None:
    """Keeps them in tables of a database."""
    named = {"rowId": "id", "targetValue": "target_value"}
    db = await asyncpg.connect(dsn)
    await db.execute((Path(__file__).parent / "postgraphile" / "flat.sql").read_text())

    async def keep(table: str, row: Json) -> None:
        said = json.dumps({named.get(name, name): value for name, value in row.items()})
        await db.execute(f"INSERT INTO {table} SELECT * FROM jsonb_populate_record(NULL::flat.{table}, $1)", said)

    for each in campaigns:
        its = {"campaign_id": each["rowId"]}
        await keep("campaign", each)
        for goal in each["goals"]:
            await keep("goal", its | goal)
        await keep("budget", its | each["budget"])
        for point in each["points"]:
            await keep("month", its | point)
    await db.close()
    await analyze(dsn)


async def analyze(dsn: str) -> None:
    """What autovacuum would do within minutes."""
    db = await asyncpg.connect(dsn)
    await db.execute("ANALYZE")
    await db.close()


# --- the rounds -------------------------------------------------------------------------------------------------------


def spent(process: psutil.Process) -> float:
    """Seconds of CPU of a process and all below it, those that have ended too."""
    return sum(sum(each.cpu_times()[:4]) for each in (process, *process.children(recursive=True)))


async def measure(
    sides: dict[str, Processes], wires: dict[str, list[bytes]], ports: dict[str, int]
) -> dict[str, list[dict[str, float]]]:
    """Per side and round: CPU ms per request, by process. The sides take turns."""
    answers = {who: json.loads(await fetch(ports[who], wires[who][0])) for who in sides}
    assert flattened(answers["ours"]) == answers["postgraphile"]["data"]["campaigns"], "they answer differently"
    assert len(flattened(answers["ours"])) == CAMPAIGNS
    found: dict[str, list[dict[str, float]]] = {who: [] for who in sides}
    for who in sides:
        await drive(ports[who], wires[who], SOCKETS, WARM_SECONDS)
    for number in range(ROUNDS):
        for who in sorted(sides, reverse=number % 2 == 1):
            before = {name: spent(process) for name, process in sides[who].items()}
            told = await drive(ports[who], wires[who], SOCKETS, SECONDS)
            found[who].append(
                {name: (spent(each) - before[name]) * 1000 / told.requests for name, each in sides[who].items()}
            )
    return found
