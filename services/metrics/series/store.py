"""Decides how series are read from the roll-ups: in a few statements, however many are asked for."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import workspace_of
from services.metrics.metric.rules import MEASURES, BotPolicy, Definition
from services.metrics.rollup.rules import NO_CAMPAIGN, Piece, merged, pieces
from services.metrics.rollup.store import fold_little, sets_of, sizes_together
from services.metrics.series.rules import Scope, periods

UNIQUE = "unique_recipient_impressions"
Group = UUID | None
# Read campaign by campaign, so that one index serves all that can be asked; and no plan can miss it.
_ASKED = """
    asked AS (
        SELECT n, since, until, grain, cast(campaigns AS uuid[]) AS campaigns, cast(sources AS uuid[]) AS sources,
            group_by
        FROM unnest(cast(:n AS int[]), cast(:since AS date[]), cast(:until AS date[]), cast(:grain AS text[]),
            cast(:campaigns AS text[]), cast(:sources AS text[]), cast(:group_by AS text[])
        ) AS each(n, since, until, grain, campaigns, sources, group_by)
    ), named AS (
        SELECT a.*, c.id FROM asked a CROSS JOIN LATERAL (
            SELECT unnest(a.campaigns) AS id
            UNION ALL SELECT campaign.id FROM campaign WHERE a.campaigns IS NULL
            UNION ALL SELECT cast(:none AS uuid) WHERE a.campaigns IS NULL
        ) AS c
    )
"""
_TALLIES = text(
    """
    WITH {ASKED}
    SELECT a.n, CASE a.group_by WHEN 'campaign_id' THEN r.campaign_id WHEN 'source_id' THEN r.source_id END AS grouped,
        r.start, r.type, sum(r.count) AS every, coalesce(sum(r.count) FILTER (WHERE r.verdict <> 'bot'), 0) AS not_bot,
        coalesce(sum(r.count) FILTER (WHERE r.verdict = 'bot'), 0) AS bot
    FROM named a CROSS JOIN LATERAL (
        SELECT * FROM counted WHERE workspace_id = :workspace AND campaign_id = a.id AND grain = a.grain
            AND start >= a.since AND start < a.until
        OFFSET 0
    ) AS r
    WHERE r.type = ANY(cast(:types AS text[])) AND (a.sources IS NULL OR r.source_id = ANY(a.sources))
    GROUP BY 1, 2, 3, 4 HAVING sum(r.count) > 0 ORDER BY 1, 3
    """.replace("{ASKED}", _ASKED)
)
# Where a period of a group is one set, its size is enough; the sets themselves are read where several are united.
_SETS = """
    WITH {ASKED}
    SELECT a.n, CASE a.group_by WHEN 'campaign_id' THEN r.campaign_id WHEN 'source_id' THEN r.source_id END AS grouped,
        r.start, {FIGURES}
    FROM named a CROSS JOIN LATERAL (
        SELECT * FROM reach WHERE workspace_id = :workspace AND campaign_id = a.id AND grain = a.grain
            AND start >= a.since AND start < a.until
        OFFSET 0
    ) AS r
    WHERE r.type = 'opened' AND (a.sources IS NULL OR r.source_id = ANY(a.sources))
    ORDER BY a.n, r.start
""".replace("{ASKED}", _ASKED)
_SIZES = text(_SETS.replace("{FIGURES}", "r.every, r.not_bot, r.bot"))
_BITMAPS = text(_SETS.replace("{FIGURES}", "r.humans, r.bots, r.unknowns"))


@dataclass
class Numbers:
    """What was counted in one scope: (group, start of the period, measure or type) -> all, without bots, by bots."""

    counts: dict[tuple[Group, date, str], tuple[int, int, int]] = field(default_factory=dict)
    groups: set[Group] = field(default_factory=set)

    def measure(self, group: Group, start: date, name: str, bots: BotPolicy) -> int:
        """How many of a measure of metric.rules there were in a period."""
        place = 0 if bots is BotPolicy.COUNTED else 1
        kinds = MEASURES[name].types or {name}
        return sum(self.counts.get((group, start, kind), (0, 0, 0))[place] for kind in kinds)


@dataclass(frozen=True)
class Basis:
    """The workspace's zone, and up to when what each of its sources was acknowledged is in the numbers."""

    zone: str
    heard: dict[UUID, datetime]

    def watermark(self, source_ids: Sequence[UUID]) -> datetime | None:
        """When the latest post of these sources, or of all, arrived that is counted."""
        times = [at for source_id, at in self.heard.items() if not source_ids or source_id in source_ids]
        return max(times, default=None)


async def read_basis(session: AsyncSession) -> Basis:
    """What numbers that are read next rest on. What little waits to be counted is counted first; where it is much, the
    watermark is where it begins."""
    await fold_little(session)
    rows = await session.execute(
        text("""SELECT w.zone, s.id, least(s.received_at, (
                    SELECT min(u.received_at) FROM uncounted u
                    WHERE u.workspace_id = w.workspace_id AND u.source_id = s.id)) AS counted_until
                FROM workspace w
                LEFT JOIN source s ON s.workspace_id = w.workspace_id AND s.received_at IS NOT NULL
                WHERE w.workspace_id = :workspace"""),
        {"workspace": workspace_of(session)},
    )
    found = rows.all()
    return Basis(found[0].zone, {row.id: row.counted_until for row in found if row.id})


@dataclass(frozen=True)
class _Span:
    """Sets to be read: of one kind of piece, in a span of days, of what a scope is about."""

    subject: int
    piece: Piece
    since: date
    until: date
    scope: Scope


def _bound(session: AsyncSession, spans: Sequence[_Span | Scope]) -> dict[str, Any]:
    def array(values: Iterable[UUID]) -> str:
        # Arrays in an array must have one length in SQL, so each goes as its text. Once each, or it would count twice.
        return "{" + ",".join(map(str, dict.fromkeys(values))) + "}"

    scopes = [each.scope if isinstance(each, _Span) else each for each in spans]
    return {
        "workspace": workspace_of(session),
        "none": NO_CAMPAIGN,
        "n": list(range(len(spans))),
        "since": [each.since for each in spans],
        "until": [each.until for each in spans],
        "grain": [(each.piece if isinstance(each, _Span) else each.grain).value for each in spans],
        "campaigns": [array(scope.campaign_ids) if scope.campaign_ids else None for scope in scopes],
        "sources": [array(scope.source_ids) if scope.source_ids else None for scope in scopes],
        "group_by": [scope.group_by and scope.group_by.value for scope in scopes],
    }


async def read_numbers(session: AsyncSession, asked: Sequence[tuple[Scope, Definition]]) -> dict[Scope, Numbers]:
    """What the definitions need in each scope. The cost grows with the days and months in the scopes, and where several
    sets are united with the distinct pairs in them; never with the events."""
    read = {scope: Numbers() for scope, _ in asked}
    counts = list(dict.fromkeys(scope for scope, metric in asked if _types([metric])))
    if counts:
        await _read_tallies(session, counts, _types([metric for _, metric in asked]), read)
    unique = list(dict.fromkeys(scope for scope, metric in asked if _needs_pairs(metric)))
    if unique:
        await _read_pairs(session, unique, read)
    return read


def _types(metrics: Iterable[Definition]) -> list[str]:
    """The types of events that are counted for these."""
    names = {name for metric in metrics for name in (metric.numerator, metric.denominator) if name}
    return sorted({kind for name in names for kind in MEASURES[name].types})


Row = TypeVar("Row")


class _Found(Generic[Row]):
    """Rows of sets by group and piece, in the order of their days."""

    def __init__(self) -> None:
        self.groups: set[Group] = set()
        self._rows: dict[tuple[Group, Piece], tuple[list[date], list[Row]]] = defaultdict(lambda: ([], []))

    def add(self, group: Group, piece: Piece, start: date, row: Row) -> None:
        self.groups.add(group)
        starts, rows = self._rows[group, piece]
        starts.append(start)
        rows.append(row)

    def within(self, group: Group, parts: Iterable[tuple[Piece, date, date]]) -> list[Row]:
        """Those of the pieces that a period is made up of."""
        found: list[Row] = []
        for piece, since, until in parts:
            starts, rows = self._rows[group, piece]
            found += rows[bisect_left(starts, since) : bisect_left(starts, until)]
        return found


class _Plan:
    """What has to be read for several scopes: spans of days and months, by subject: the same campaigns and sources,
    which are read once however many scopes ask for them."""

    def __init__(self, scopes: Sequence[Scope]) -> None:
        alike: dict[object, list[Scope]] = defaultdict(list)
        for scope in scopes:
            alike[frozenset(scope.campaign_ids), frozenset(scope.source_ids), scope.group_by].append(scope)
        self.subjects = list(alike.values())
        self.parts = {scope: _parts(scope) for scope in scopes}
        self.spans = [
            _Span(number, piece, since, until, together[0])
            for number, together in enumerate(self.subjects)
            for piece, since, until in merged(
                each for scope in together for made in self.parts[scope].values() for each in made
            )
        ]


async def _read_tallies(
    session: AsyncSession, scopes: Sequence[Scope], types: Sequence[str], read: dict[Scope, Numbers]
) -> None:
    plan = _Plan(scopes)
    found: dict[tuple[int, str], _Found[tuple[int, int, int]]] = defaultdict(_Found)
    for row in await session.execute(_TALLIES, {**_bound(session, plan.spans), "types": list(types)}):
        span = plan.spans[row.n]
        group = None if row.grouped == NO_CAMPAIGN else row.grouped
        counts = (int(row.every), int(row.not_bot), int(row.bot))
        found[span.subject, row.type].add(group, span.piece, row.start, counts)
    for (number, kind), rows in found.items():
        for scope in plan.subjects[number]:
            for start, made in plan.parts[scope].items():
                for group in rows.groups:
                    within = rows.within(group, made)
                    if within:
                        read[scope].groups.add(group)
                        every, not_bot, bot = zip(*within, strict=True)
                        read[scope].counts[group, start, kind] = (sum(every), sum(not_bot), sum(bot))


async def _read_pairs(session: AsyncSession, scopes: Sequence[Scope], read: dict[Scope, Numbers]) -> None:
    plan = _Plan(scopes)
    subjects, parts, spans = plan.subjects, plan.parts, plan.spans
    sizes = await _find(session, _SIZES, spans, lambda row: (row.every, row.not_bot, row.bot))
    several: list[int] = []
    for number, together in enumerate(subjects):
        found = sizes[number]
        for scope in together:
            for start, made in parts[scope].items():
                for group in found.groups:
                    sets = found.within(group, made)
                    if sets:
                        read[scope].groups.add(group)
                    if len(sets) == 1:
                        read[scope].counts[group, start, UNIQUE] = sets[0]
                    elif sets and several[-1:] != [number]:
                        several.append(number)
    if not several:
        return
    wanted = [span for span in spans if span.subject in several]
    bitmaps = await _find(session, _BITMAPS, wanted, sets_of)
    for number in several:
        for scope in subjects[number]:
            for start, made in parts[scope].items():
                for group in bitmaps[number].groups:
                    sets_of_all = bitmaps[number].within(group, made)
                    if len(sets_of_all) > 1:
                        read[scope].counts[group, start, UNIQUE] = sizes_together(sets_of_all)


def _parts(scope: Scope) -> dict[date, list[tuple[Piece, date, date]]]:
    return {each.start: list(pieces(each.start, each.end)) for each in periods(scope.since, scope.until, scope.grain)}


async def _find(
    session: AsyncSession, statement: TextClause, spans: Sequence[_Span], kept: Callable[[Any], Row]
) -> dict[int, "_Found[Row]"]:
    """What is kept of each row, by the subject that it is about."""
    found: dict[int, _Found[Row]] = defaultdict(_Found)
    for row in await session.execute(statement, _bound(session, spans)):
        span = spans[row.n]
        group = None if row.grouped == NO_CAMPAIGN else row.grouped
        found[span.subject].add(group, span.piece, row.start, kept(row))
    return found


def _needs_pairs(metric: Definition) -> bool:
    return any(MEASURES[name].distinct for name in (metric.numerator, metric.denominator) if name)
