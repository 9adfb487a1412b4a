"""Decides which rows of the roll-ups series are read from: those of the same campaigns and sources once, however many
series ask for them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Generic, TypeVar
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import workspace_of
from services.metrics.metric.rules import Counted
from services.metrics.rollup.rules import NO_CAMPAIGN, Piece, merged, pieces
from services.metrics.series.rules import CHANNEL, Grain, Group, GroupBy, Scope

Asked = tuple[Scope, Counted]
# A piece, and the days of it.
Part = tuple[Piece, date, date]
What = TypeVar("What", bound=Counted | None)

# Everything is read campaign by campaign, those of none as of one more, so that one index serves all that can be asked,
# and no plan can miss it.
NAMED = """
    asked AS (
        SELECT subject, piece, since, until, cast(campaigns AS uuid[]) AS campaigns, cast(sources AS uuid[]) AS sources,
            group_by, cast(types AS text[]) AS types, unit
        FROM unnest(cast(:subject AS int[]), cast(:piece AS text[]), cast(:since AS date[]), cast(:until AS date[]),
            cast(:campaigns AS text[]), cast(:sources AS text[]), cast(:group_by AS text[]), cast(:types AS text[]),
            cast(:units AS text[])
        ) AS each(subject, piece, since, until, campaigns, sources, group_by, types, unit)
    ), named AS (
        SELECT a.*, c.id FROM asked a CROSS JOIN LATERAL (
            SELECT unnest(a.campaigns) AS id
            UNION ALL SELECT campaign.id FROM campaign WHERE a.campaigns IS NULL
            UNION ALL SELECT cast(:none AS uuid) WHERE a.campaigns IS NULL
        ) AS c
    )
"""
GROUPED = """
    CASE a.group_by WHEN 'campaign_id' THEN cast(nullif(r.campaign_id, cast(:none AS uuid)) AS text)
        WHEN 'source_id' THEN cast(r.source_id AS text) WHEN 'channel' THEN '{CHANNEL}' END
""".replace("{CHANNEL}", CHANNEL)


def spans_of(scope: Scope) -> list[Part]:
    """The pieces that a scope is made up of: no period of it has days of a month that is read whole."""
    if scope.grain in (Grain.DAY, Grain.WEEK):
        return [(Piece.DAY, scope.since, scope.until)]
    return list(pieces(scope.since, scope.until))


def narrowed(scope: Scope, groups: Sequence[Group]) -> Scope:
    """The same of these groups alone, for roll-ups."""
    if scope.group_by is GroupBy.CAMPAIGN:
        return replace(scope, campaign_ids=tuple(UUID(each) if each else NO_CAMPAIGN for each in groups))
    if scope.group_by is GroupBy.SOURCE:
        return replace(scope, source_ids=tuple(UUID(each) for each in groups if each))
    return scope


@dataclass(frozen=True)
class Span:
    """Rows to be read: of one kind of piece, in a span of days, of what a scope is about."""

    subject: int
    piece: Piece
    since: date
    until: date
    scope: Scope
    what: Counted | None


class Plan(Generic[What]):
    """What has to be read for several scopes: spans of days and months, by subject: the same campaigns and sources, of
    which the same is counted."""

    def __init__(self, asked: Mapping[tuple[Scope, What], Iterable[Part]]) -> None:
        subjects: dict[object, int] = {}
        self._subject: dict[tuple[Scope, What], int] = {}
        parts: dict[int, list[Part]] = defaultdict(list)
        first: dict[int, tuple[Scope, What]] = {}
        for each, spans in asked.items():
            scope, what = each
            about = (frozenset(scope.campaign_ids), frozenset(scope.source_ids), scope.group_by, what)
            number = self._subject[each] = subjects.setdefault(about, len(subjects))
            parts[number] += spans
            first.setdefault(number, each)
        self.spans = [Span(number, *part, *first[number]) for number, spans in parts.items() for part in merged(spans)]

    def subject(self, each: tuple[Scope, What]) -> int:
        """What a question is about."""
        return self._subject[each]


def bound(session: AsyncSession, spans: Sequence[Span]) -> dict[str, Any]:
    """What NAMED is bound to."""
    scopes = [span.scope for span in spans]
    whats = [span.what for span in spans]
    return {
        "workspace": workspace_of(session),
        "none": NO_CAMPAIGN,
        "subject": [span.subject for span in spans],
        "since": [span.since for span in spans],
        "until": [span.until for span in spans],
        "piece": [span.piece.value for span in spans],
        "campaigns": [_array(scope.campaign_ids) if scope.campaign_ids else None for scope in scopes],
        "sources": [_array(scope.source_ids) if scope.source_ids else None for scope in scopes],
        "group_by": [scope.group_by and scope.group_by.value for scope in scopes],
        "types": [what and _array(sorted(what.types)) for what in whats],
        "units": [what and what.distinct and what.distinct.value for what in whats],
    }


def _array(values: Iterable[UUID | str]) -> str:
    # Arrays in an array must have one length in SQL, so each goes as its text. Once each, or it would count twice.
    return "{" + ",".join(map(str, dict.fromkeys(values))) + "}"
