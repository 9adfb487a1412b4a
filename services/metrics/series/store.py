"""Decides how series are read from the roll-ups: in three statements, however many are asked for."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import workspace_of
from services.metrics.metric.rules import MEASURES, BotPolicy, Definition
from services.metrics.series.rules import Scope, Stretch, distinct, stretches

Group = UUID | None
# {TABLE} and {COLUMNS} are constants below. Everything is read campaign by campaign and then the events of none, so
# that one index serves all that can be asked, and no plan can miss it.
_HITS = """
    asked AS (
        SELECT n, since, until, grain, cast(campaigns AS uuid[]) AS campaigns, cast(sources AS uuid[]) AS sources,
            group_by, cast(edges AS date[]) AS edges, crossed
        FROM unnest(cast(:n AS int[]), cast(:since AS date[]), cast(:until AS date[]), cast(:grain AS text[]),
            cast(:campaigns AS text[]), cast(:sources AS text[]), cast(:group_by AS text[]),
            cast(:edges AS text[]), cast(:crossed AS boolean[])
        ) AS each(n, since, until, grain, campaigns, sources, group_by, edges, crossed)
    ), hit AS NOT MATERIALIZED (
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
    ), placed AS NOT MATERIALIZED (
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
# One pass over the days of all spans of a stretch, cut into parts at their edges, so that a span is one part or more.
# Only for more does it matter which part a pair was last seen in, and that takes a sort; grouping twice hashes.
_IMPRESSIONS = text(
    """
    WITH {HITS}, seen AS NOT MATERIALIZED (
        SELECT n, crossed, grouped, recipient_id, message, width_bucket(day, edges) AS part,
            bool_or(verdict <> 'bot') AS not_bot
        FROM placed GROUP BY n, crossed, grouped, recipient_id, message, width_bucket(day, edges)
    )
    SELECT n, grouped, part, not_bot, 0 AS last, 0 AS last_not_bot, count(*)
    FROM seen WHERE NOT crossed GROUP BY n, grouped, part, not_bot
    UNION ALL
    SELECT n, grouped, part, not_bot, last, last_not_bot, count(*) FROM (
        SELECT n, grouped, part, not_bot, lag(part, 1, 0) OVER pair AS last,
            coalesce(max(part) FILTER (WHERE not_bot)
                OVER (pair ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS last_not_bot
        FROM seen WHERE crossed
        WINDOW pair AS (PARTITION BY n, grouped, recipient_id, message ORDER BY part)
    ) AS followed
    GROUP BY n, grouped, part, not_bot, last, last_not_bot
    """.replace("{HITS}", _HITS)
    .replace("{TABLE}", "impression")
    .replace("{COLUMNS}", "a.edges, a.crossed, r.verdict, r.recipient_id, r.message")
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


def _bound(session: AsyncSession, scopes: Sequence[Scope], cuts: Sequence[Stretch] = ()) -> dict[str, Any]:
    def array(values: Iterable[UUID | date]) -> str:
        # Arrays in an array must have one length in SQL, so each goes as its text. Once each, or it would count twice.
        return "{" + ",".join(map(str, dict.fromkeys(values))) + "}"

    return {
        "workspace": workspace_of(session),
        "n": list(range(len(scopes))),
        "since": [scope.since for scope in scopes],
        "until": [scope.until for scope in scopes],
        "grain": [scope.grain.value for scope in scopes],
        "campaigns": [array(scope.campaign_ids) if scope.campaign_ids else None for scope in scopes],
        "sources": [array(scope.source_ids) if scope.source_ids else None for scope in scopes],
        "group_by": [scope.group_by and scope.group_by.value for scope in scopes],
        "edges": [array(cut.edges) for cut in cuts] or [None] * len(scopes),
        "crossed": [cut.crossed for cut in cuts] or [False] * len(scopes),
    }


async def read_numbers(session: AsyncSession, asked: Sequence[tuple[Scope, Definition]]) -> dict[Scope, Numbers]:
    """What the definitions need in each scope. The cost grows with the days in the scopes and the distinct pairs in
    them, not with the events; and for pairs not with the scopes that overlap in the same campaigns and sources."""
    scopes = list(dict.fromkeys(scope for scope, _ in asked))
    read = {scope: Numbers() for scope in scopes}
    for row in await session.execute(_TALLIES, _bound(session, scopes)):
        n, group, start, kind, every, human = row
        read[scopes[n]].counts[group, start, kind] = (int(every), int(human))
        read[scopes[n]].groups.add(group)
    unique = dict.fromkeys(scope for scope, metric in asked if _needs_pairs(metric))
    if unique:
        await _read_pairs(session, stretches(unique), read)
    return read


async def _read_pairs(session: AsyncSession, cuts: Sequence[Stretch], read: dict[Scope, Numbers]) -> None:
    every: dict[tuple[int, Group], Counter[tuple[int, int]]] = defaultdict(Counter)
    human: dict[tuple[int, Group], Counter[tuple[int, int]]] = defaultdict(Counter)
    for row in await session.execute(_IMPRESSIONS, _bound(session, [cut.whole for cut in cuts], cuts)):
        n, group, part, not_bot, last, last_not_bot, count = row
        every[n, group][part, last] += count
        if not_bot:
            human[n, group][part, last_not_bot] += count
    for (n, group), seen in every.items():
        spans = cuts[n].spans
        alls, humans = distinct(seen, spans), distinct(human[n, group], spans)
        for span, places in spans.items():
            for scope, start in places if alls[span] else ():
                read[scope].counts[group, start, "unique_recipient_impressions"] = (alls[span], humans[span])


def _needs_pairs(metric: Definition) -> bool:
    return any(MEASURES[name].distinct for name in (metric.numerator, metric.denominator) if name)
