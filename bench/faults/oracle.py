"""Decides what is lost and what is doubled: what the driver was told, held against the tables and the answers."""

import asyncio
import hashlib
import importlib
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import asyncpg

from bench.faults.known import YEAR, Known
from bench.faults.launch import admin_file
from bench.faults.load import Load
from chassis.stack import parts

SETTLES_WITHIN = 90.0
# Each change of a field, from the audit log.
CHANGED = """SELECT change ->> 'new', row_id FROM {}.audit, jsonb_array_elements(changes) AS change
             WHERE workspace_id = $1 AND action = 'changed' AND kind = '{}' AND change ->> 'field' = '{}'"""
# Where what each kind of write leaves stands, and under which id: one row for each that happened.
ROWS = {
    "campaign": "SELECT slug, id FROM goals.campaign WHERE workspace_id = $1",
    "objective": "SELECT name, id FROM goals.objective WHERE workspace_id = $1",
    "goal": "SELECT title, id FROM goals.goal WHERE workspace_id = $1",
    "activation": "SELECT title, id FROM goals.goal WHERE workspace_id = $1 AND activated_at IS NOT NULL",
    "source": "SELECT name, id FROM metrics.source WHERE workspace_id = $1",
    "line": "SELECT name, id FROM budget.line WHERE workspace_id = $1",
    "cancellation": "SELECT id::text, id FROM goals.campaign WHERE workspace_id = $1 AND state = 'cancelled'",
    "rename": CHANGED.format("goals", "campaign", "name"),
    "edit": CHANGED.format("budget", "line", "department"),
    "entry": "SELECT reason, NULL FROM budget.entry WHERE workspace_id = $1",
    "asset": "SELECT title, id FROM assets.asset WHERE workspace_id = $1",
    "client": "SELECT name, id FROM gateway.api_client WHERE workspace_id = $1 AND name <> 'other-admin'",
    "revocation": "SELECT name, id FROM gateway.api_client WHERE workspace_id = $1 AND revoked_at IS NOT NULL",
}
# Of which the audit log tells that they were made.
MADE = {"campaign": "goals", "objective": "goals", "goal": "goals", "source": "metrics", "line": "budget",
        "asset": "assets", "client": "gateway"}  # fmt: skip
CANCELLED = "SELECT id FROM goals.campaign WHERE workspace_id = $1 AND state = 'cancelled'"
# The subjects of what is published, each as often as it should be.
PUBLISHED = {
    "goals.campaign.created": "SELECT id FROM goals.campaign WHERE workspace_id = $1",
    "goals.campaign.changed": f"SELECT row_id FROM ({CHANGED.format('goals', 'campaign', 'name')}) AS renamed",
    "goals.campaign.cancelled": CANCELLED,
    "budget.campaign.released": CANCELLED,
    "goals.goal.created": "SELECT id FROM goals.goal WHERE workspace_id = $1",
    "goals.goal.activated": "SELECT id FROM goals.goal WHERE workspace_id = $1 AND activated_at IS NOT NULL",
}


@dataclass
class Verdict:
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    facts: dict[str, int] = field(default_factory=dict)

    @property
    def sound(self) -> bool:
        return not (self.lost or self.doubled or self.wrong)

    def compare(self, what: str, expected: Mapping[Any, int], found: Mapping[Any, int]) -> None:
        """Fewer than expected are lost, more are doubled."""
        for key in expected.keys() | found.keys():
            missing = expected.get(key, 0) - found.get(key, 0)
            if missing > 0:
                self.lost.append(f"{what} {key}: {found.get(key, 0)} of {expected[key]}")
            elif missing < 0:
                self.doubled.append(f"{what} {key}: {found[key]} in place of {expected.get(key, 0)}")


def heard() -> Iterable[tuple[str, str, set[str]]]:
    """Publisher, subscriber, and the types of events that have an effect there."""
    from chassis.inbox import WORKSPACE_EVENTS
    from deploy.events import published

    for subscriber, row in parts().items():
        if subscriber == "gateway":  # which keeps them all
            handled = {each.type for each in published()}
        else:
            handled = {*WORKSPACE_EVENTS, *importlib.import_module(f"services.{subscriber}.events").CONSUMES}
        for publisher in row.hears:
            yield publisher, subscriber, {kind for kind in handled if kind.startswith(f"{publisher}.")}


class Oracle:
    def __init__(self, load: Load) -> None:
        self.load = load
        self.known: Known = load.known
        self.workspace = load.workspace
        self.verdict = Verdict()

    async def judge(self) -> Verdict:
        """Call it while no worker is at anything. Waits until nothing waits to be delivered."""
        self.verdict.wrong += self.known.wrong
        self.database: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(
            admin_file(self.load.home).read_text()
        )
        try:
            if await self._settled():
                await self._writes()
                await self._published()
                await self._consumed()
                await self._events()
                await self._money()
                await self._goals_follow()
                await self._nothing_hangs()
                await self._swept()
        finally:
            await self.database.close()
        await self._numbers()
        await self._bytes()
        await self._secrets()
        return self.verdict

    async def _rows(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        return list(await self.database.fetch(query, *arguments))

    async def _settled(self) -> bool:
        """Whether all outboxes and notes of changes are empty before long, and stay so once jobs have had a turn."""
        began = time.monotonic()
        tables = [f"{part.schema}.delivery" for part in parts().values()] + ["metrics.change"]
        query = " UNION ALL ".join(f"SELECT '{table}' AS name, count(*) FROM {table}" for table in tables)
        while True:
            waiting = {name: count for name, count in await self._rows(query) if count}
            if not waiting:
                self.verdict.facts["settled_ms"] = int((time.monotonic() - began) * 1000)
                return True
            if time.monotonic() - began > SETTLES_WITHIN:
                self.verdict.lost.append(f"still waiting after {SETTLES_WITHIN:.0f} s: {waiting}")
                return False
            await asyncio.sleep(0.1)

    async def _writes(self) -> None:
        for kind, query in ROWS.items():
            rows = await self._rows(query, self.workspace)
            found = Counter(name for name, _ in rows)
            known = self.known.of(kind)
            # What was sent and never answered may have happened, once.
            maybe = known.sent - known.told.keys()
            expected = dict.fromkeys(known.told, 1) | {name: min(found[name], 1) for name in maybe}
            self.verdict.compare(kind, expected, found)
            self.verdict.facts[kind] = len(rows)
            ids = {(name, str(row_id)) for name, row_id in rows if row_id}
            self.verdict.wrong += [
                f"{kind} {name} was told to be {row_id}" for name, row_id in known.told.items()
                if row_id and name in found and (name, row_id) not in ids
            ]  # fmt: skip
            if kind in MADE:
                audited = await self._rows(
                    f"SELECT row_id FROM {MADE[kind]}.audit"
                    " WHERE workspace_id = $1 AND action = 'created' AND kind = $2",
                    self.workspace, {"client": "api_client"}.get(kind, kind),
                )  # fmt: skip
                made = {row_id: 1 for _, row_id in rows}
                self.verdict.compare(f"audit of {kind}", made, Counter(row_id for (row_id,) in audited))

    async def _swept(self) -> None:
        """What uploads left that died on the way is gone after a sweep, which is brought forward."""
        incoming = self.load.home / "assets" / "incoming"
        self.verdict.facts["left by uploads"] = len(list(incoming.iterdir()))
        deadline = time.monotonic() + SETTLES_WITHIN
        while left := [path.name for path in incoming.iterdir()]:
            if time.monotonic() > deadline:
                self.verdict.wrong.append(f"uploads that died left {len(left)} files, and no sweep takes them")
                return
            await self.database.execute("UPDATE assets.work SET due_at = now() WHERE name = 'sweep_incoming'")
            await asyncio.sleep(0.5)

    async def _nothing_hangs(self) -> None:
        """No transaction stays open for a process that is gone."""
        hanging = await self._rows(
            """SELECT usename, count(*) FROM pg_stat_activity
               WHERE state = 'idle in transaction' AND state_change < now() - interval '15 s' GROUP BY usename"""
        )
        self.verdict.wrong += [f"{count} transactions of {who} hang" for who, count in hanging]

    async def _published(self) -> None:
        for kind, query in PUBLISHED.items():
            expected = Counter(str(row_id) for (row_id,) in await self._rows(query, self.workspace))
            part = kind.partition(".")[0]
            told = await self._rows(
                f"SELECT subject FROM {part}.outbox WHERE workspace_id = $1 AND type = $2", self.workspace, kind
            )
            self.verdict.compare(f"outbox {kind}", expected, Counter(subject for (subject,) in told))

    async def _consumed(self) -> None:
        """Every event of every outbox is in the inbox of each part that acts on it, and took effect there once."""
        for publisher, subscriber, kinds in heard():
            source = f"/{publisher}"
            told = await self._rows(f"SELECT id FROM {publisher}.outbox WHERE type = ANY($1)", list(kinds))
            expected = {event_id: 1 for (event_id,) in told}
            taken = await self._rows(f"SELECT id FROM {subscriber}.inbox WHERE source = $1", source)
            effects = await self._rows(
                "SELECT event_id FROM faults.effect WHERE part = $1 AND source = $2", subscriber, source
            )
            road = f"{publisher} to {subscriber}"
            self.verdict.compare(f"inbox {road}", expected, Counter(event_id for (event_id,) in taken))
            self.verdict.compare(f"effect {road}", expected, Counter(event_id for (event_id,) in effects))
            self.verdict.facts[road] = len(expected)
        query = "SELECT id, slug FROM {}.campaign WHERE workspace_id = $1"
        own = Counter(map(tuple, await self._rows(query.format("goals"), self.workspace)))
        self.verdict.compare(
            "campaign in metrics", own, Counter(map(tuple, await self._rows(query.format("metrics"), self.workspace)))
        )

        confirmed = await self._rows(
            "SELECT campaign_id FROM goals.campaign_confirmation WHERE workspace_id = $1", self.workspace
        )
        cancelled = await self._rows(CANCELLED, self.workspace)
        self.verdict.compare("confirmed cancellation", Counter(map(tuple, cancelled)), Counter(map(tuple, confirmed)))

    async def _events(self) -> None:
        rows = await self._rows(
            """SELECT s.name, e.type, r.address, e.message_id, coalesce(e.url, ''),
                      cast(extract(epoch FROM e.occurred_at) AS bigint), t.tags[1]
               FROM metrics.occurrence e JOIN metrics.source s ON (s.workspace_id, s.id) = (e.workspace_id, e.source_id)
               LEFT JOIN metrics.recipient r ON (r.workspace_id, r.id) = (e.workspace_id, e.recipient_id)
               LEFT JOIN metrics.tag_set t ON (t.workspace_id, t.id) = (e.workspace_id, e.tag_set_id)
               WHERE e.workspace_id = $1""",
            self.workspace,
        )
        expected = {tuple(vars(event).values()): 1 for event in self.known.events}
        self.verdict.compare("e-mail event", expected, Counter(map(tuple, rows)))
        self.verdict.facts["e-mail events"] = len(rows)
        unread = await self._rows("SELECT reason FROM metrics.quarantine WHERE workspace_id = $1", self.workspace)
        self.verdict.wrong += [f"quarantined: {reason}" for (reason,) in unread]

    async def _money(self) -> None:
        entries = await self._rows(
            "SELECT reason, line_id, allotted FROM budget.entry WHERE workspace_id = $1", self.workspace
        )
        sums: Counter[str] = Counter()
        for reason, line_id, allotted in entries:
            sums[str(line_id)] += allotted
            if (str(line_id), allotted) != self.known.amounts.get(reason):
                self.verdict.wrong.append(f"entry {reason} is {allotted} on {line_id}: not what was sent")
        edits = Counter(self.known.of("edit").told.values())
        for line_id, version in await self._rows("SELECT id, version FROM budget.line WHERE workspace_id = $1",
                                                 self.workspace):  # fmt: skip
            if version < 1 + edits[str(line_id)]:
                self.verdict.lost.append(f"line {line_id}: version {version} after {edits[str(line_id)]} edits")
        for line_id, allotted in await self._rows(
            "SELECT id, allotted FROM budget.balance WHERE workspace_id = $1", self.workspace
        ):
            difference = allotted - sums[str(line_id)]
            if difference:
                where = self.verdict.lost if difference < 0 else self.verdict.doubled
                where.append(f"balance of line {line_id}: {allotted}, but its entries sum to {sums[str(line_id)]}")

    async def _goals_follow(self) -> None:
        """Active goals come to the numbers that there are: the last news of a change was acted on."""
        wanted = sum(
            event.type == "clicked" and event.tag == "tagged-0" and event.month >= f"{YEAR + 1}-01-01"
            for event in self.known.events
        )
        query = """
            SELECT DISTINCT ON (g.id) g.title, e.value FROM goals.goal g
            JOIN goals.goal_campaign l ON (l.workspace_id, l.goal_id) = (g.workspace_id, g.id)
            JOIN goals.campaign c ON (c.workspace_id, c.id) = (l.workspace_id, l.campaign_id)
            LEFT JOIN goals.evaluation e ON (e.workspace_id, e.goal_id) = (g.workspace_id, g.id)
            WHERE g.workspace_id = $1 AND g.state = 'active' AND c.slug = 'tagged-0'
            ORDER BY g.id, e.evaluated_at DESC"""
        deadline = time.monotonic() + SETTLES_WITHIN
        while True:
            behind = {title: value for title, value in await self._rows(query, self.workspace) if value != wanted}
            if not behind:
                return
            if time.monotonic() > deadline:
                self.verdict.lost.append(f"these goals don't come to {wanted}: {behind}")
                return
            await asyncio.sleep(0.2)

    async def _get(self, part: str, path: str, **query: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.load.token}"}
        async with self.load.http.get(self.load.url(part) + path, params=query, headers=headers) as answer:
            answer.raise_for_status()
            return await answer.json()

    async def _numbers(self) -> None:
        """The series that callers are shown, against the driver's own count."""
        told = self.known.of("campaign").told
        expected = self.known.numbers()
        for metric, kind in (("email.total_clicks", "clicked"), ("email.opens", "opened"),
                             ("email.deliveries", "delivered"), ("email.bounces", "bounced"),
                             ("email.sends", "queued"), ("email.unique_recipient_impressions", "unique")):  # fmt: skip
            query = {
                "from": f"{YEAR}-01-01", "to": f"{YEAR + 2}-01-01", "grain": "month", "group_by": "campaign_id",
                "campaign_id": [told[slug] for slug in self.load.slugs if slug in told],
            }  # fmt: skip
            answer = await self._get("metrics", f"/v1/metrics/{metric}/series", **query)
            shown = {
                (series["group"]["campaign_id"], point["start"]): point["numerator"]
                for series in answer["series"]
                for point in series["points"]
                if point["numerator"]
            }
            own = {
                (told[tag], month): count
                for (tag, month, each), count in expected.items()
                if each == kind and tag in told
            }
            self.verdict.compare(metric, own, shown)

    async def _bytes(self) -> None:
        """The bytes of every acknowledged asset are those that were sent."""
        headers = {"Authorization": f"Bearer {self.load.token}"}
        for title, asset_id in self.known.of("asset").told.items():
            url = f"{self.load.url('assets')}/v1/assets/{asset_id}/content"
            digest = hashlib.sha256()
            with suppress(aiohttp.ClientError):
                async with self.load.http.get(url, headers=headers) as answer:
                    async for block in answer.content.iter_any():
                        digest.update(block)
            if digest.hexdigest() != self.known.bytes[title]:
                self.verdict.lost.append(f"bytes of asset {title}")

    async def _secrets(self) -> None:
        """A client's secret, shown once, opens the door; a revoked client's doesn't."""
        for name, (client_id, secret) in self.known.secrets.items():
            asked = name in self.known.of("revocation").sent
            told = name in self.known.of("revocation").told
            if asked and not told:
                continue
            status, _ = await self.load.grant(client_id, secret)
            if (status == 200) == told:
                self.verdict.lost.append(f"client {name}: /oauth/token answers {status}")
