"""Decides how counts are read from the roll-ups: in two statements, however many series are asked for, added up by
Postgres to what their periods say."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncSession

from services.metrics.metric.rules import Counted, Verdicts
from services.metrics.rollup.rules import IN_SETS
from services.metrics.series.numbers import Numbers, Place
from services.metrics.series.reading import GROUPED, NAMED, Asked, Plan, bound, spans_of
from services.metrics.series.rules import Group, GroupBy, Scope
from services.metrics.series.united import unite

_BY_PERIOD = """
    WITH {NAMED}, piece AS (
        SELECT a.subject, {GROUPED} AS grouped, a.piece, r.start, {FIGURES}
        FROM named a CROSS JOIN LATERAL (
            SELECT * FROM {TABLE} WHERE workspace_id = :workspace AND campaign_id = a.id AND grain = a.piece
                AND start >= a.since AND start < a.until AND type = ANY(a.types) AND {UNIT}
                (a.sources IS NULL OR source_id = ANY(a.sources))
            OFFSET 0
        ) AS r
    ), found AS {FOUND}
    SELECT w.n, f.grouped, CASE w.grain WHEN 'total' THEN w.first
            ELSE greatest(w.first, cast(date_trunc(w.grain, cast(f.start AS timestamp)) AS date)) END AS start,
        cast(sum(f.human) AS bigint), cast(sum(f.bot) AS bigint), cast(sum(f.unknown) AS bigint),
        cast(sum(f.rows) AS bigint)
    FROM unnest(cast(:w_n AS int[]), cast(:w_subject AS int[]), cast(:w_piece AS text[]), cast(:w_since AS date[]),
            cast(:w_until AS date[]), cast(:w_grain AS text[]), cast(:w_first AS date[])
        ) AS w(n, subject, piece, since, until, grain, first)
    JOIN found f ON f.subject = w.subject AND f.piece = w.piece AND f.start >= w.since AND f.start < w.until
    GROUP BY 1, 2, 3
""".replace("{NAMED}", NAMED).replace("{GROUPED}", GROUPED)
# What several scopes have in common is added up once, before it is for each of them; for one that would only cost.
_TOGETHER = """MATERIALIZED (
        SELECT subject, grouped, piece, start, sum(human) AS human, sum(bot) AS bot, sum(unknown) AS unknown,
            sum(rows) AS rows
        FROM piece GROUP BY 1, 2, 3, 4
    )"""
_ALONE = "(SELECT * FROM piece)"


@dataclass(frozen=True)
class _Statement:
    """How one table is read, for one scope and for several."""

    alone: TextClause
    together: TextClause

    @classmethod
    def of(cls, table: str, unit: str, figures: str) -> "_Statement":
        made = _BY_PERIOD.replace("{TABLE}", table).replace("{UNIT}", unit).replace("{FIGURES}", figures)
        return cls(text(made.replace("{FOUND}", _ALONE)), text(made.replace("{FOUND}", _TOGETHER)))


_TALLIES = _Statement.of(
    "counted",
    "",
    """CASE r.verdict WHEN 'human' THEN r.count ELSE 0 END AS human,
            CASE r.verdict WHEN 'bot' THEN r.count ELSE 0 END AS bot,
            CASE r.verdict WHEN 'unknown' THEN r.count ELSE 0 END AS unknown, 1 AS rows""",
)
# Where a period of a group is one set, its size is enough; the sets themselves are read where several are united.
_SIZES = _Statement.of("reach", "unit = a.unit AND", "r.human, r.bot, r.unknown, 1 AS rows")
# One row of a campaign says that there is something of it; which sources there are, all rows say.
_GROUPS = text(
    """
    WITH {NAMED}, found AS (
        SELECT DISTINCT {GROUPED} AS grouped FROM named a CROSS JOIN LATERAL (
            SELECT campaign_id, source_id FROM counted WHERE workspace_id = :workspace AND campaign_id = a.id
                AND grain = a.piece AND start >= a.since AND start < a.until AND count > 0
                AND (a.sources IS NULL OR source_id = ANY(a.sources))
            LIMIT cast(:few AS int)
        ) AS r
    )
    SELECT grouped FROM found WHERE grouped COLLATE "C" > coalesce(cast(:after AS text), '') OR grouped IS NULL
    ORDER BY grouped COLLATE "C" NULLS LAST LIMIT :most
    """.replace("{NAMED}", NAMED).replace("{GROUPED}", GROUPED)
)


def is_rolled(what: Counted) -> bool:
    """Whether the roll-ups tell it."""
    return what.distinct is None or what.types <= IN_SETS


async def page_of_rolled_groups(
    session: AsyncSession, scope: Scope, after: tuple[Group] | None, most: int
) -> list[Group]:
    """The groups that have events in the scope, in order, the nameless last, after the one given: so many at most."""
    if after is not None and after[0] is None:
        return []
    plan = Plan({(scope, None): spans_of(scope)})
    few = None if scope.group_by is GroupBy.SOURCE else 1
    rows = await session.execute(
        _GROUPS, {**bound(session, plan.spans), "few": few, "after": after and after[0], "most": most}
    )
    return list(rows.scalars().all())


async def read_rolled(session: AsyncSession, asked: Iterable[Asked], read: Mapping[Scope, Numbers]) -> None:
    """Adds what is counted in each scope. The cost grows with the days and months in the scopes, and where several sets
    are united with what is in them; never with the events."""
    unique = list(dict.fromkeys(asked))
    tallies = [each for each in unique if each[1].distinct is None]
    sets = [each for each in unique if each[1].distinct is not None]
    if tallies:
        for (scope, what), places in zip(tallies, await _by_period(session, _TALLIES, tallies), strict=True):
            read[scope].counted[what] = {place: found for place, (found, _) in places.items()}
    if not sets:
        return
    several: dict[Asked, set[Place]] = {}
    for each, places in zip(sets, await _by_period(session, _SIZES, sets), strict=True):
        scope, what = each
        read[scope].counted[what] = {place: found for place, (found, rows) in places.items() if rows == 1}
        if more := places.keys() - read[scope].counted[what].keys():
            several[each] = more
    if several:
        await unite(session, several, read)


async def _by_period(session: AsyncSession, statement: _Statement, asked: Sequence[Asked]) -> list[dict[Place, Any]]:
    """Of each question, by group and period: how many there are, and in how many rows they stood."""
    found: list[dict[Place, Any]] = [{} for _ in asked]
    rows = await session.execute(statement.alone if len(asked) == 1 else statement.together, _bound(session, asked))
    for n, group, start, human, bot, unknown, many in rows:
        found[n][group, start] = Verdicts(human, bot, unknown), many
    return found


def _bound(session: AsyncSession, asked: Sequence[Asked]) -> dict[str, Any]:
    plan = Plan({each: spans_of(each[0]) for each in asked})
    wanted: dict[str, list[Any]] = defaultdict(list)
    for n, each in enumerate(asked):
        scope, _ = each
        for piece, since, until in spans_of(scope):
            for name, value in (
                ("n", n), ("subject", plan.subject(each)), ("piece", piece.value), ("since", since), ("until", until),
                ("grain", scope.grain.value), ("first", scope.since),
            ):  # fmt: skip
                wanted[f"w_{name}"].append(value)
    return {**bound(session, plan.spans), **wanted}
