"""Decides how series are read from the roll-ups: in three statements, however many are asked for."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import workspace_of
from services.metrics.metric.rules import MEASURES, BotPolicy, Definition
from services.metrics.series.rules import Scope

Group = UUID | None
# {TABLE} and {COLUMNS} are constants below. Everything is read campaign by campaign and then the events of none, so
# that one index serves all that can be asked, and no plan can miss it.
_HITS = """
    asked AS (
        SELECT n, since, until, grain, cast(campaigns AS uuid[]) AS campaigns, cast(sources AS uuid[]) AS sources,
            group_by
        FROM unnest(cast(:n AS int[]), cast(:since AS date[]), cast(:until AS date[]), cast(:grain AS text[]),
            cast(:campaigns AS text[]), cast(:sources AS text[]), cast(:group_by AS text[])
        ) AS each(n, since, until, grain, campaigns, sources, group_by)
    ), hit AS (
        SELECT a.n, a.since, a.grain, a.group_by, r.campaign_id, r.source_id, r.day, {COLUMNS}
        FROM asked a
        CROSS JOIN LATERAL (
            SELECT unnest(a.campaigns) AS id UNION ALL SELECT campaign.id FROM campaign WHERE a.campaigns IS NULL
        ) AS c
        CROSS JOIN LATERAL (
            SELECT * FROM {TABLE} WHERE workspace_id = :workspace AND campaign_id = c.id
                AND day >= a.since AND day < a.until
            OFFSET 0
        ) AS r
        WHERE a.sources IS NULL OR r.source_id = ANY(a.sources)
        UNION ALL
        SELECT a.n, a.since, a.grain, a.group_by, r.campaign_id, r.source_id, r.day, {COLUMNS}
        FROM asked a
        CROSS JOIN LATERAL (
            SELECT * FROM {TABLE} WHERE workspace_id = :workspace AND campaign_id IS NULL
                AND day >= a.since AND day < a.until
            OFFSET 0
        ) AS r
        WHERE a.campaigns IS NULL AND (a.sources IS NULL OR r.source_id = ANY(a.sources))
    ), placed AS (
        SELECT *,
            CASE group_by WHEN 'campaign_id' THEN campaign_id WHEN 'source_id' THEN source_id END AS grouped,
            CASE grain WHEN 'total' THEN since
                ELSE greatest(since, cast(date_trunc(grain, cast(day AS timestamp)) AS date)) END AS start
        FROM hit
    )
"""
_TALLIES = text(
    """
    WITH {HITS}
    SELECT n, grouped, start, type, sum(count), coalesce(sum(count) FILTER (WHERE verdict <> 'bot'), 0)
    FROM placed GROUP BY n, grouped, start, type
    """.replace("{HITS}", _HITS)
    .replace("{TABLE}", "tally")
    .replace("{COLUMNS}", "r.type, r.verdict, r.count")
)
# Distinct by grouping twice, which hashes; count(DISTINCT ..) would sort.
_IMPRESSIONS = text(
    """
    WITH {HITS}
    SELECT n, grouped, start, count(*), count(*) FILTER (WHERE not_bot) FROM (
        SELECT n, grouped, start, recipient_id, message, bool_or(verdict <> 'bot') AS not_bot
        FROM placed GROUP BY n, grouped, start, recipient_id, message
    ) AS pair
    GROUP BY n, grouped, start
    """.replace("{HITS}", _HITS)
    .replace("{TABLE}", "impression")
    .replace("{COLUMNS}", "r.verdict, r.recipient_id, r.message")
)


@dataclass
class Numbers:
    """What was counted in one scope: (group, start of the period, measure or type) -> all, and without bots."""

    counts: dict[tuple[Group, date, str], tuple[int, int]] = field(default_factory=lambda: defaultdict(lambda: (0, 0)))
    groups: set[Group] = field(default_factory=set)

    def measure(self, group: Group, start: date, name: str, bots: BotPolicy) -> int:
        """How many of a measure of metric.rules there were in a period."""
        place = 0 if bots is BotPolicy.COUNTED else 1
        kinds = MEASURES[name].types or {name}
        return sum(self.counts.get((group, start, kind), (0, 0))[place] for kind in kinds)


@dataclass(frozen=True)
class Basis:
    """The workspace's zone, and when each of its sources was last heard of."""

    zone: str
    heard: dict[UUID, datetime]

    def watermark(self, source_ids: Sequence[UUID]) -> datetime | None:
        """When the latest post of these sources, or of all, arrived."""
        times = [at for source_id, at in self.heard.items() if not source_ids or source_id in source_ids]
        return max(times, default=None)


async def read_basis(session: AsyncSession) -> Basis:
    rows = await session.execute(
        text("""SELECT w.zone, s.id, s.received_at FROM workspace w
                LEFT JOIN source s ON s.workspace_id = w.workspace_id AND s.received_at IS NOT NULL
                WHERE w.workspace_id = :workspace"""),
        {"workspace": workspace_of(session)},
    )
    found = rows.all()
    return Basis(found[0].zone, {row.id: row.received_at for row in found if row.id})


def _bound(session: AsyncSession, scopes: Sequence[tuple[int, Scope]]) -> dict[str, Any]:
    def ids(values: tuple[UUID, ...]) -> str | None:
        # Arrays in an array must have one length in SQL, so each goes as its text. Once each, or it would count twice.
        return "{" + ",".join(map(str, dict.fromkeys(values))) + "}" if values else None

    return {
        "workspace": workspace_of(session),
        "n": [n for n, _ in scopes],
        "since": [scope.since for _, scope in scopes],
        "until": [scope.until for _, scope in scopes],
        "grain": [scope.grain.value for _, scope in scopes],
        "campaigns": [ids(scope.campaign_ids) for _, scope in scopes],
        "sources": [ids(scope.source_ids) for _, scope in scopes],
        "group_by": [scope.group_by and scope.group_by.value for _, scope in scopes],
    }


async def read_numbers(session: AsyncSession, asked: Sequence[tuple[Scope, Definition]]) -> dict[Scope, Numbers]:
    """What the definitions need in each scope. The cost grows with the days and the distinct pairs in the scopes, not
    with the events."""
    scopes = list(dict.fromkeys(scope for scope, _ in asked))
    numbered = list(enumerate(scopes))
    read = {scope: Numbers() for scope in scopes}
    for row in await session.execute(_TALLIES, _bound(session, numbered)):
        n, group, start, kind, every, human = row
        read[scopes[n]].counts[group, start, kind] = (int(every), int(human))
        read[scopes[n]].groups.add(group)
    unique = {scope for scope, metric in asked if _needs_pairs(metric)}
    shown = [(n, scope) for n, scope in numbered if scope in unique]
    for row in await session.execute(_IMPRESSIONS, _bound(session, shown)) if shown else ():
        n, group, start, every, human = row
        read[scopes[n]].counts[group, start, "unique_recipient_impressions"] = (every, human)
    return read


def _needs_pairs(metric: Definition) -> bool:
    return any(MEASURES[name].distinct for name in (metric.numerator, metric.denominator) if name)
