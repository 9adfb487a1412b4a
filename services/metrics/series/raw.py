"""Decides how numbers are counted from the events themselves: what was known at some instant, by message, by link, and
what roll-ups don't hold. The cost grows with the events in the span."""

from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import workspace_of
from services.metrics.metric.rules import Counted, DistinctKey, Verdicts
from services.metrics.rollup.rules import midnight
from services.metrics.series.numbers import Numbers
from services.metrics.series.rules import CHANNEL, Group, GroupBy, Scope

# Words in braces stand for constants here: nothing that a caller sends is ever part of a statement.
_GROUPED = {
    None: "cast(NULL AS text)", GroupBy.CAMPAIGN: "cast(campaign_id AS text)",
    GroupBy.SOURCE: "cast(source_id AS text)", GroupBy.CHANNEL: f"cast('{CHANNEL}' AS text)",
    GroupBy.MESSAGE: "message_id", GroupBy.URL: "url",
}  # fmt: skip
# The days' bounds are bound as instants: AT TIME ZONE isn't leakproof, so that row security lets no index be searched
# by an expression with it.
_FITS = {
    "campaigns": "campaign_id = ANY(cast(:campaigns AS uuid[]))",
    "sources": "source_id = ANY(cast(:sources AS uuid[]))",
    "messages": "message_id = ANY(cast(:messages AS text[]))",
    "urls": "url = ANY(cast(:urls AS text[]))",
    "as_of": "received_at <= :as_of",
    "types": "type = ANY(cast(:types AS text[]))",
    "groups": """({GROUPED} = ANY(cast(:groups AS text[])) OR (:nameless AND {GROUPED} IS NULL))""",
    "after": """({GROUPED} COLLATE "C" > :after OR {GROUPED} IS NULL)""",
}
_EVENTS = """FROM occurrence WHERE workspace_id = :workspace AND id >= first_id(cast(:begins AS timestamptz))
    AND id < first_id(cast(:ends AS timestamptz)) AND {FITS}"""
_START = """CASE cast(:grain AS text) WHEN 'total' THEN cast(:since AS date)
    ELSE greatest(cast(:since AS date),
        cast(date_trunc(:grain, cast(local_day(occurred_at, :zone) AS timestamp)) AS date)) END"""
_LEVEL = "max(CASE verdict WHEN 'human' THEN 2 WHEN 'unknown' THEN 1 ELSE 0 END)"
_TALLIES = """
    SELECT {GROUPED} AS grouped, {START} AS start, type, count(*) FILTER (WHERE verdict = 'human'),
        count(*) FILTER (WHERE verdict = 'bot'), count(*) FILTER (WHERE verdict = 'unknown')
    {EVENTS} GROUP BY 1, 2, 3
"""
_UNIQUES = """
    SELECT grouped, start, count(*) FILTER (WHERE level = 2), count(*) FILTER (WHERE level = 0),
        count(*) FILTER (WHERE level = 1)
    FROM (
        SELECT {GROUPED} AS grouped, {START} AS start, {LEVEL} AS level
        {EVENTS} AND recipient_id IS NOT NULL
        GROUP BY 1, 2, recipient_id, CASE WHEN :by_message THEN coalesce(message_id, '') END
    ) AS seen GROUP BY grouped, start
"""
_GROUPS = """
    SELECT grouped FROM (SELECT DISTINCT {GROUPED} AS grouped {EVENTS}) AS found
    ORDER BY grouped COLLATE "C" NULLS LAST LIMIT :most
"""


async def page_of_raw_groups(
    session: AsyncSession, scope: Scope, zone: str, after: tuple[Group] | None, most: int
) -> list[Group]:
    """The groups that have events in the scope, in order, the nameless last, after the one given: so many at most."""
    if after is not None and after[0] is None:
        return []
    more: dict[str, Any] = {} if after is None else {"after": after[0]}
    rows = await session.execute(*_statement(_GROUPS, session, scope, zone, most=most, **more))
    return list(rows.scalars().all())


async def read_raw(
    session: AsyncSession, scope: Scope, zone: str, needs: Iterable[Counted], numbers: Numbers,
    groups: Iterable[Group] | None = None,
) -> None:  # fmt: skip
    """Counts in one scope what is needed of its events, of these groups or of all."""
    needs = list(dict.fromkeys(needs))
    types = sorted({kind for what in needs if what.distinct is None for kind in what.types})
    only: dict[str, Any] = {}
    if groups is not None:
        wanted = list(groups)
        only = {"groups": [each for each in wanted if each is not None], "nameless": None in wanted}
    if types:
        for row in await session.execute(*_statement(_TALLIES, session, scope, zone, types=types, **only)):
            group, start, kind, *verdicts = row
            for what in needs:
                if what.distinct is None and kind in what.types:
                    numbers.add(group, start, what, Verdicts(*verdicts))
    for what in needs:
        if what.distinct is not None:
            by_message = what.distinct is DistinctKey.RECIPIENT_MESSAGE
            given = {**only, "types": sorted(what.types), "by_message": by_message}
            for row in await session.execute(*_statement(_UNIQUES, session, scope, zone, **given)):
                group, start, *verdicts = row
                numbers.add(group, start, what, Verdicts(*verdicts))


def _statement(
    template: str, session: AsyncSession, scope: Scope, zone: str, **given: Any
) -> tuple[TextClause, dict[str, Any]]:
    bound = dict(_asked(scope)) | given
    fits = " AND ".join(_FITS[name] for name in bound if name in _FITS) or "true"
    sql = template.replace("{EVENTS}", _EVENTS).replace("{START}", _START).replace("{LEVEL}", _LEVEL)
    sql = sql.replace("{FITS}", fits).replace("{GROUPED}", _GROUPED[scope.group_by])
    bound |= {
        "workspace": workspace_of(session), "begins": midnight(scope.since, zone), "ends": midnight(scope.until, zone),
        "since": scope.since, "grain": scope.grain.value, "zone": zone,
    }  # fmt: skip
    statement = text(sql)
    return statement, {name: bound[name] for name in statement.compile().params if name in bound}


def _asked(scope: Scope) -> Iterator[tuple[str, Any]]:
    if scope.campaign_ids:
        yield "campaigns", list(scope.campaign_ids)
    if scope.source_ids:
        yield "sources", list(scope.source_ids)
    if scope.message_ids:
        yield "messages", list(scope.message_ids)
    if scope.urls:
        yield "urls", list(scope.urls)
    if scope.as_of:
        yield "as_of", scope.as_of
