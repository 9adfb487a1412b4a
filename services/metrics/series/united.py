"""Decides how sets are united where a period of a group is more than one: only those are read, each once."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping
from datetime import date

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.metrics.rollup.rules import Piece, pieces
from services.metrics.rollup.sets import Sets, sets_of, sizes_together
from services.metrics.series.numbers import Numbers, Place
from services.metrics.series.reading import GROUPED, NAMED, Asked, Part, Plan, bound
from services.metrics.series.rules import Group, Scope, periods

_BITMAPS = text(
    """
    WITH {NAMED}
    SELECT a.subject, {GROUPED} AS grouped, a.piece, r.start, r.humans, r.bots, r.unknowns
    FROM named a CROSS JOIN LATERAL (
        SELECT * FROM reach WHERE workspace_id = :workspace AND campaign_id = a.id AND grain = a.piece
            AND start >= a.since AND start < a.until AND type = ANY(a.types) AND unit = a.unit
            AND (a.sources IS NULL OR source_id = ANY(a.sources))
        OFFSET 0
    ) AS r
    ORDER BY a.subject, r.start
    """.replace("{NAMED}", NAMED).replace("{GROUPED}", GROUPED)
)


async def unite(session: AsyncSession, asked: Mapping[Asked, set[Place]], read: Mapping[Scope, Numbers]) -> None:
    """Adds what is distinct at these places of each scope. The cost grows with what is in the sets, and not with the
    scopes that overlap in the same campaigns and sources."""
    parts = {each: _parts(each[0], places) for each, places in asked.items()}
    plan = Plan({each: [part for made in starts.values() for part in made] for each, starts in parts.items()})
    found: dict[int, _Found] = defaultdict(_Found)
    for row in await session.execute(_BITMAPS, bound(session, plan.spans)):
        found[row.subject].add(row.grouped, Piece(row.piece), row.start, sets_of(row))
    for each, places in asked.items():
        scope, what = each
        sets = found[plan.subject(each)]
        for group, start in places:
            read[scope].counted[what][group, start] = sizes_together(sets.within(group, parts[each][start]))


def _parts(scope: Scope, places: set[Place]) -> dict[date, list[Part]]:
    """The pieces that those periods are made up of."""
    starts = {start for _, start in places}
    return {
        period.start: list(pieces(period.start, period.end))
        for period in periods(scope.since, scope.until, scope.grain)
        if period.start in starts
    }


class _Found:
    """Sets by group and piece, in the order of their days."""

    def __init__(self) -> None:
        self._rows: dict[tuple[Group, Piece], tuple[list[date], list[Sets]]] = defaultdict(lambda: ([], []))

    def add(self, group: Group, piece: Piece, start: date, row: Sets) -> None:
        starts, rows = self._rows[group, piece]
        starts.append(start)
        rows.append(row)

    def within(self, group: Group, parts: list[Part]) -> list[Sets]:
        """Those of the pieces that a period is made up of."""
        found: list[Sets] = []
        for piece, since, until in parts:
            starts, rows = self._rows[group, piece]
            found += rows[bisect_left(starts, since) : bisect_left(starts, until)]
        return found
