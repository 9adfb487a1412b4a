"""Decides how numbers are read from the roll-ups: in two statements, however many series are asked for."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import workspace_of
from services.metrics.metric.rules import Counted, DistinctKey, Verdicts
from services.metrics.series.numbers import Numbers
from services.metrics.series.rules import CHANNEL, Group, Scope, Stretch, distinct, stretches

# Of these types the roll-ups hold who and which message.
ROLLED_UNIQUES = frozenset({"opened", "clicked"})
# {TABLE}, {COLUMNS} and {ONLY} are constants below. Everything is read campaign by campaign and then the events of
# none, so that one index serves all that can be asked, and no plan can miss it.
_HITS = """
    asked AS (
        SELECT n, since, until, grain, cast(campaigns AS uuid[]) AS campaigns, cast(sources AS uuid[]) AS sources,
            group_by, cast(edges AS date[]) AS edges, crossed, kind, by_message
        FROM unnest(cast(:n AS int[]), cast(:since AS date[]), cast(:until AS date[]), cast(:grain AS text[]),
            cast(:campaigns AS text[]), cast(:sources AS text[]), cast(:group_by AS text[]),
            cast(:edges AS text[]), cast(:crossed AS boolean[]), cast(:kind AS text[]), cast(:by_message AS boolean[])
        ) AS each(n, since, until, grain, campaigns, sources, group_by, edges, crossed, kind, by_message)
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
        WHERE (a.sources IS NULL OR r.source_id = ANY(a.sources)) {ONLY}
        UNION ALL
        SELECT a.n, a.since, a.grain, a.group_by, r.campaign_id, r.source_id, r.day, {COLUMNS}
        FROM asked a
        CROSS JOIN LATERAL (
            SELECT * FROM {TABLE} WHERE workspace_id = :workspace AND campaign_id IS NULL
                AND day >= a.since AND day < a.until
            OFFSET 0
        ) AS r
        WHERE a.campaigns IS NULL AND (a.sources IS NULL OR r.source_id = ANY(a.sources)) {ONLY}
    ), placed AS NOT MATERIALIZED (
        SELECT *,
            CASE group_by WHEN 'campaign_id' THEN cast(campaign_id AS text)
                WHEN 'source_id' THEN cast(source_id AS text) WHEN 'channel' THEN '{CHANNEL}' END AS grouped,
            CASE grain WHEN 'total' THEN since
                ELSE greatest(since, cast(date_trunc(grain, cast(day AS timestamp)) AS date)) END AS start
        FROM hit
    )
""".replace("{CHANNEL}", CHANNEL)
_TALLIES = text(
    """
    WITH {HITS}
    SELECT n, grouped, start, type, coalesce(sum(count) FILTER (WHERE verdict = 'human'), 0),
        coalesce(sum(count) FILTER (WHERE verdict = 'bot'), 0),
        coalesce(sum(count) FILTER (WHERE verdict = 'unknown'), 0)
    FROM placed GROUP BY n, grouped, start, type
    """.replace("{HITS}", _HITS)
    .replace("{TABLE}", "tally")
    .replace("{COLUMNS}", "r.type, r.verdict, r.count")
    .replace("{ONLY}", "")
)
# One pass over the days of all spans of a stretch, cut into parts at their edges, so that a span is one part or more.
# Only for more does it matter which part a pair was last seen in, and that takes a sort; grouping twice hashes.
# A pair's level is the best that is known of it: 2 a person's, 1 nobody can tell, 0 a machine's.
_UNIQUES = text(
    """
    WITH {HITS}, seen AS NOT MATERIALIZED (
        SELECT n, crossed, grouped, recipient_id, CASE WHEN by_message THEN message END AS unit,
            width_bucket(day, edges) AS part,
            max(CASE verdict WHEN 'human' THEN 2 WHEN 'unknown' THEN 1 ELSE 0 END) AS level
        FROM placed
        GROUP BY n, crossed, grouped, recipient_id, CASE WHEN by_message THEN message END, width_bucket(day, edges)
    )
    SELECT n, grouped, part, level, 0 AS last, 0 AS last_1, 0 AS last_2, count(*)
    FROM seen WHERE NOT crossed GROUP BY n, grouped, part, level
    UNION ALL
    SELECT n, grouped, part, level, last, last_1, last_2, count(*) FROM (
        SELECT n, grouped, part, level, lag(part, 1, 0) OVER pair AS last,
            coalesce(max(part) FILTER (WHERE level >= 1)
                OVER (pair ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS last_1,
            coalesce(max(part) FILTER (WHERE level >= 2)
                OVER (pair ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS last_2
        FROM seen WHERE crossed
        WINDOW pair AS (PARTITION BY n, grouped, recipient_id, unit ORDER BY part)
    ) AS followed
    GROUP BY n, grouped, part, level, last, last_1, last_2
    """.replace("{HITS}", _HITS)
    .replace("{TABLE}", "impression")
    .replace("{COLUMNS}", "a.edges, a.crossed, a.by_message, r.verdict, r.recipient_id, r.message")
    .replace("{ONLY}", "AND r.type = a.kind")
)


def is_rolled(what: Counted) -> bool:
    """Whether the roll-ups tell it."""
    return what.distinct is None or what.types <= ROLLED_UNIQUES


async def read_tallies(session: AsyncSession, read: dict[Scope, Numbers]) -> None:
    """Adds to each scope's numbers how many events of each type there were."""
    scopes = list(read)
    for row in await session.execute(_TALLIES, _bound(session, scopes)):
        n, group, start, kind, human, bot, unknown = row
        read[scopes[n]].add_events(group, start, kind, Verdicts(int(human), int(bot), int(unknown)))


async def read_uniques(
    session: AsyncSession, asked: Iterable[tuple[Scope, Counted]], read: dict[Scope, Numbers]
) -> None:
    """Adds what is distinct in each scope. The cost grows with the distinct pairs in the scopes, and not with those
    that overlap in the same campaigns and sources."""
    alike: dict[Counted, list[Scope]] = defaultdict(list)
    for scope, what in dict.fromkeys(asked):
        alike[what].append(scope)
    cuts = [(what, cut) for what, scopes in alike.items() for cut in stretches(scopes)]
    if not cuts:
        return
    # By level: how many were in a part, and before that last in which.
    seen: dict[tuple[int, Group], list[Counter[tuple[int, int]]]] = defaultdict(lambda: [Counter() for _ in range(3)])
    for row in await session.execute(_UNIQUES, _bound(session, [cut.whole for _, cut in cuts], cuts)):
        n, group, part, level, *last, count = row
        for least in range(level + 1):
            seen[n, group][least][part, last[least]] += count
    for (n, group), by_level in seen.items():
        what, cut = cuts[n]
        every, known, human = (distinct(each, cut.spans) for each in by_level)
        for span, places in cut.spans.items():
            found = Verdicts(human[span], every[span] - known[span], known[span] - human[span])
            for scope, start in places if every[span] else ():
                read[scope].add_uniques(group, start, what, found)


def _bound(
    session: AsyncSession, scopes: Sequence[Scope], cuts: Sequence[tuple[Counted, Stretch]] = ()
) -> dict[str, Any]:
    def array(values: Iterable[UUID | date]) -> str:
        # Arrays in an array must have one length in SQL, so each goes as its text. Once each, or it would count twice.
        return "{" + ",".join(map(str, dict.fromkeys(values))) + "}"

    none: list[Any] = [None] * len(scopes)
    return {
        "workspace": workspace_of(session),
        "n": list(range(len(scopes))),
        "since": [scope.since for scope in scopes],
        "until": [scope.until for scope in scopes],
        "grain": [scope.grain.value for scope in scopes],
        "campaigns": [array(scope.campaign_ids) if scope.campaign_ids else None for scope in scopes],
        "sources": [array(scope.source_ids) if scope.source_ids else None for scope in scopes],
        "group_by": [scope.group_by and scope.group_by.value for scope in scopes],
        "edges": [array(cut.edges) for _, cut in cuts] or none,
        "crossed": [cut.crossed for _, cut in cuts] or none,
        "kind": [next(iter(what.types)) for what, _ in cuts] or none,
        "by_message": [what.distinct is DistinctKey.RECIPIENT_MESSAGE for what, _ in cuts] or none,
    }
