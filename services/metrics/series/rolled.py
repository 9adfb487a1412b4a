"""Decides how numbers are read from the roll-ups: in three statements, however many series are asked for."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Generic, TypeVar
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import workspace_of
from services.metrics.metric.rules import Counted, Verdicts
from services.metrics.rollup.rules import IN_SETS, NO_CAMPAIGN, Piece, merged, pieces
from services.metrics.rollup.sets import Sets, sets_of, sizes_together
from services.metrics.series.numbers import Numbers
from services.metrics.series.rules import CHANNEL, Group, Scope, periods

# Everything is read campaign by campaign, those of none as of one more, so that one index serves all that can be asked,
# and no plan can miss it.
_NAMED = """
    asked AS (
        SELECT n, since, until, grain, cast(campaigns AS uuid[]) AS campaigns, cast(sources AS uuid[]) AS sources,
            group_by, cast(types AS text[]) AS types, unit
        FROM unnest(cast(:n AS int[]), cast(:since AS date[]), cast(:until AS date[]), cast(:grain AS text[]),
            cast(:campaigns AS text[]), cast(:sources AS text[]), cast(:group_by AS text[]), cast(:types AS text[]),
            cast(:units AS text[])
        ) AS each(n, since, until, grain, campaigns, sources, group_by, types, unit)
    ), named AS (
        SELECT a.*, c.id FROM asked a CROSS JOIN LATERAL (
            SELECT unnest(a.campaigns) AS id
            UNION ALL SELECT campaign.id FROM campaign WHERE a.campaigns IS NULL
            UNION ALL SELECT cast(:none AS uuid) WHERE a.campaigns IS NULL
        ) AS c
    )
"""
_GROUPED = """
    CASE a.group_by WHEN 'campaign_id' THEN cast(nullif(r.campaign_id, cast(:none AS uuid)) AS text)
        WHEN 'source_id' THEN cast(r.source_id AS text) WHEN 'channel' THEN '{CHANNEL}' END
""".replace("{CHANNEL}", CHANNEL)
_TALLIES = text(
    """
    WITH {NAMED}
    SELECT a.n, {GROUPED} AS grouped, r.start, r.type,
        coalesce(sum(r.count) FILTER (WHERE r.verdict = 'human'), 0) AS human,
        coalesce(sum(r.count) FILTER (WHERE r.verdict = 'bot'), 0) AS bot,
        coalesce(sum(r.count) FILTER (WHERE r.verdict = 'unknown'), 0) AS unknown
    FROM named a CROSS JOIN LATERAL (
        SELECT * FROM counted WHERE workspace_id = :workspace AND campaign_id = a.id AND grain = a.grain
            AND start >= a.since AND start < a.until
        OFFSET 0
    ) AS r
    WHERE a.sources IS NULL OR r.source_id = ANY(a.sources)
    GROUP BY 1, 2, 3, 4 HAVING sum(r.count) > 0 ORDER BY 1, 3
    """.replace("{NAMED}", _NAMED).replace("{GROUPED}", _GROUPED)
)
# Where a period of a group is one set, its size is enough; the sets themselves are read where several are united.
_SETS = """
    WITH {NAMED}
    SELECT a.n, {GROUPED} AS grouped, r.start, {FIGURES}
    FROM named a CROSS JOIN LATERAL (
        SELECT * FROM reach WHERE workspace_id = :workspace AND campaign_id = a.id AND grain = a.grain
            AND start >= a.since AND start < a.until
        OFFSET 0
    ) AS r
    WHERE r.type = ANY(a.types) AND r.unit = a.unit AND (a.sources IS NULL OR r.source_id = ANY(a.sources))
    ORDER BY a.n, r.start
""".replace("{NAMED}", _NAMED).replace("{GROUPED}", _GROUPED)
_SIZES = text(_SETS.replace("{FIGURES}", "r.human, r.bot, r.unknown"))
_BITMAPS = text(_SETS.replace("{FIGURES}", "r.humans, r.bots, r.unknowns"))

Row = TypeVar("Row")
What = TypeVar("What", bound=Counted | None)
Parts = list[tuple[Piece, date, date]]


def is_rolled(what: Counted) -> bool:
    """Whether the roll-ups tell it."""
    return what.distinct is None or what.types <= IN_SETS


async def read_tallies(session: AsyncSession, read: dict[Scope, Numbers]) -> None:
    """Adds to each scope's numbers how many events of each type there were. The cost grows with the days and months in
    the scopes, never with the events."""
    plan = _Plan((scope, None) for scope in read)
    found: dict[tuple[int, str], _Found[Verdicts]] = defaultdict(_Found)
    for row in await session.execute(_TALLIES, _bound(session, plan.spans)):
        span = plan.spans[row.n]
        counted = Verdicts(int(row.human), int(row.bot), int(row.unknown))
        found[span.subject, row.type].add(row.grouped, span.piece, row.start, counted)
    for (number, kind), rows in found.items():
        for scope, start, group, parts in plan.places(number, rows.groups):
            if within := rows.within(group, parts):
                read[scope].add_events(group, start, kind, sum(within, Verdicts()))


async def read_uniques(
    session: AsyncSession, asked: Iterable[tuple[Scope, Counted]], read: dict[Scope, Numbers]
) -> None:
    """Adds what is distinct in each scope. Where several sets are united, the cost grows with what is in them, and not
    with the scopes that overlap in the same campaigns and sources."""
    plan = _Plan(asked)
    if not plan.spans:
        return
    several: set[int] = set()
    for number, sizes in (await _find(session, _SIZES, plan.spans, _size)).items():
        what = plan.what(number)
        for scope, start, group, parts in plan.places(number, sizes.groups):
            within = sizes.within(group, parts)
            if len(within) == 1:
                read[scope].add_uniques(group, start, what, within[0])
            elif within:
                several.add(number)
    wanted = [span for span in plan.spans if span.subject in several]
    for number, sets in (await _find(session, _BITMAPS, wanted, sets_of)).items() if wanted else ():
        what = plan.what(number)
        for scope, start, group, parts in plan.places(number, sets.groups):
            together: list[Sets] = sets.within(group, parts)
            if len(together) > 1:
                read[scope].add_uniques(group, start, what, sizes_together(together))


def _size(row: Any) -> Verdicts:
    return Verdicts(row.human, row.bot, row.unknown)


@dataclass(frozen=True)
class _Span:
    """Rows to be read: of one kind of piece, in a span of days, of what a scope is about."""

    subject: int
    piece: Piece
    since: date
    until: date
    scope: Scope
    what: Counted | None


class _Plan(Generic[What]):
    """What has to be read for several scopes: spans of days and months, by subject: the same campaigns and sources,
    which are read once however many scopes ask for them."""

    def __init__(self, asked: Iterable[tuple[Scope, What]]) -> None:
        alike: dict[object, list[tuple[Scope, What]]] = defaultdict(list)
        for scope, what in dict.fromkeys(asked):
            about = (frozenset(scope.campaign_ids), frozenset(scope.source_ids), scope.group_by, what)
            alike[about].append((scope, what))
        self._subjects = list(alike.values())
        self._parts: dict[Scope, dict[date, Parts]] = {}
        for together in self._subjects:
            for scope, _ in together:
                if scope not in self._parts:
                    self._parts[scope] = _parts(scope)
        self.spans = [
            _Span(number, piece, since, until, *together[0])
            for number, together in enumerate(self._subjects)
            for piece, since, until in merged(
                each for scope, _ in together for made in self._parts[scope].values() for each in made
            )
        ]

    def what(self, number: int) -> What:
        """What is counted of a subject."""
        return self._subjects[number][0][1]

    def places(self, number: int, groups: Iterable[Group]) -> Iterable[tuple[Scope, date, Group, Parts]]:
        """Every period of every scope of a subject, of each of these groups, with the pieces that it is made up of."""
        for scope, _ in self._subjects[number]:
            for start, parts in self._parts[scope].items():
                for group in groups:
                    yield scope, start, group, parts


def _parts(scope: Scope) -> dict[date, Parts]:
    return {each.start: list(pieces(each.start, each.end)) for each in periods(scope.since, scope.until, scope.grain)}


class _Found(Generic[Row]):
    """Rows by group and piece, in the order of their days."""

    def __init__(self) -> None:
        self.groups: set[Group] = set()
        self._rows: dict[tuple[Group, Piece], tuple[list[date], list[Row]]] = defaultdict(lambda: ([], []))

    def add(self, group: Group, piece: Piece, start: date, row: Row) -> None:
        self.groups.add(group)
        starts, rows = self._rows[group, piece]
        starts.append(start)
        rows.append(row)

    def within(self, group: Group, parts: Parts) -> list[Row]:
        """Those of the pieces that a period is made up of."""
        found: list[Row] = []
        for piece, since, until in parts:
            starts, rows = self._rows[group, piece]
            found += rows[bisect_left(starts, since) : bisect_left(starts, until)]
        return found


async def _find(
    session: AsyncSession, statement: TextClause, spans: Sequence[_Span], kept: Callable[[Any], Row]
) -> dict[int, _Found[Row]]:
    """What is kept of each row, by the subject that it is about."""
    found: dict[int, _Found[Row]] = defaultdict(_Found)
    for row in await session.execute(statement, _bound(session, spans)):
        span = spans[row.n]
        found[span.subject].add(row.grouped, span.piece, row.start, kept(row))
    return found


def _bound(session: AsyncSession, spans: Sequence[_Span]) -> dict[str, Any]:
    def array(values: Iterable[UUID | str]) -> str:
        # Arrays in an array must have one length in SQL, so each goes as its text. Once each, or it would count twice.
        return "{" + ",".join(map(str, dict.fromkeys(values))) + "}"

    scopes = [span.scope for span in spans]
    whats = [span.what for span in spans]
    return {
        "workspace": workspace_of(session),
        "none": NO_CAMPAIGN,
        "n": list(range(len(spans))),
        "since": [span.since for span in spans],
        "until": [span.until for span in spans],
        "grain": [span.piece.value for span in spans],
        "campaigns": [array(scope.campaign_ids) if scope.campaign_ids else None for scope in scopes],
        "sources": [array(scope.source_ids) if scope.source_ids else None for scope in scopes],
        "group_by": [scope.group_by and scope.group_by.value for scope in scopes],
        "types": [what and array(sorted(what.types)) for what in whats],
        "units": [what and what.distinct and what.distinct.value for what in whats],
    }
