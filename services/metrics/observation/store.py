"""Decides how observations are kept, found again, and added up for series."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from fractions import Fraction
from uuid import UUID

from sqlalchemy import ARRAY, Text, Uuid, any_, cast, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from chassis.db import workspace_of
from services.metrics.campaign.models import Campaign
from services.metrics.metric.rules import Observations
from services.metrics.observation.models import Observation, minor_places
from services.metrics.series.rules import Group, Scope

Cell = tuple[str, date, UUID | None, str]

_OBSERVED = text("""
    WITH asked AS (
        SELECT n, metric, since, until, grain, cast(campaigns AS uuid[]) AS campaigns, group_by, as_of
        FROM unnest(cast(:n AS int[]), cast(:metric AS text[]), cast(:since AS date[]), cast(:until AS date[]),
            cast(:grain AS text[]), cast(:campaigns AS text[]), cast(:group_by AS text[]),
            cast(:as_of AS timestamptz[])
        ) AS each(n, metric, since, until, grain, campaigns, group_by, as_of)
    )
    SELECT a.n, CASE a.group_by WHEN 'campaign_id' THEN cast(o.campaign_id AS text) END AS grouped,
        CASE a.grain WHEN 'total' THEN a.since
            ELSE greatest(a.since, cast(date_trunc(a.grain, cast(o.day AS timestamp)) AS date)) END AS start,
        sum(o.amount), count(*), max(o.currency)
    FROM asked a CROSS JOIN LATERAL (
        SELECT * FROM observation WHERE workspace_id = :workspace AND metric = a.metric
            AND day >= a.since AND day < a.until AND amount IS NOT NULL
            AND (superseded_at IS NULL OR superseded_at > a.as_of) AND (a.as_of IS NULL OR recorded_at <= a.as_of)
    ) AS o
    WHERE a.campaigns IS NULL OR o.campaign_id = ANY(a.campaigns)
    GROUP BY 1, 2, 3
""")


async def read_observed(
    session: AsyncSession, asked: Sequence[tuple[Scope, str]]
) -> Iterator[tuple[Scope, str, Group, date, Observations]]:
    """What was observed of metrics in scopes, by group and first day of the period; of money in whole units."""
    scopes = [scope for scope, _ in asked]
    rows = await session.execute(
        _OBSERVED,
        {
            "workspace": workspace_of(session),
            "n": list(range(len(asked))),
            "metric": [key for _, key in asked],
            "since": [scope.since for scope in scopes],
            "until": [scope.until for scope in scopes],
            "grain": [scope.grain.value for scope in scopes],
            "campaigns": [_array(scope.campaign_ids) for scope in scopes],
            "group_by": [scope.group_by and scope.group_by.value for scope in scopes],
            "as_of": [scope.as_of for scope in scopes],
        },
    )

    def found() -> Iterator[tuple[Scope, str, Group, date, Observations]]:
        for n, group, start, total, times, currency in rows:
            amount = Fraction(total) / 10 ** minor_places(currency)
            yield *asked[n], group, start, Observations(amount, times)

    return found()


def _array(ids: Iterable[UUID]) -> str | None:
    return "{" + ",".join(map(str, ids)) + "}" if ids else None


_FIRST = text("""
    SELECT a.n, (
        SELECT min(day) FROM observation WHERE workspace_id = :workspace AND metric = a.metric AND amount IS NOT NULL
            AND superseded_at IS NULL
            AND (a.campaigns IS NULL OR campaign_id = ANY(cast(a.campaigns AS uuid[])))
    ) AS day
    FROM unnest(cast(:n AS int[]), cast(:metric AS text[]), cast(:campaigns AS text[])) AS a(n, metric, campaigns)
""")


async def first_observed(
    session: AsyncSession, asked: Sequence[tuple[Scope, str]]
) -> dict[tuple[Scope, str], date | None]:
    """The first day of which anything holds of each metric, of the campaigns of a scope; None: none yet."""
    rows = await session.execute(
        _FIRST,
        {
            "workspace": workspace_of(session),
            "n": list(range(len(asked))),
            "metric": [key for _, key in asked],
            "campaigns": [_array(scope.campaign_ids) for scope, _ in asked],
        },
    )
    return {asked[row.n]: row.day for row in rows}


async def heard_of(session: AsyncSession, keys: Collection[str]) -> dict[str, datetime]:
    """When each of these metrics was last recorded."""
    rows = await session.execute(
        text("""SELECT key, (SELECT max(recorded_at) FROM observation
                             WHERE workspace_id = :workspace AND metric = key) AS at
                FROM unnest(cast(:keys AS text[])) AS key"""),
        {"workspace": workspace_of(session), "keys": sorted(keys)},
    )
    return {row.key: row.at for row in rows.all() if row.at}


async def campaigns_by_id_or_slug(session: AsyncSession, named: Collection[str]) -> Mapping[str, UUID]:
    """The campaigns that these texts name, by their id or their slug."""
    wanted = sorted(named)
    ids = any_(cast([each for each in wanted if _is_id(each)], ARRAY(Uuid)))
    rows = await session.execute(
        select(Campaign.id, Campaign.slug).where(
            (col(Campaign.slug) == any_(cast(wanted, ARRAY(Text)))) | (col(Campaign.id) == ids)
        )
    )
    found: dict[str, UUID] = {}
    for row in rows:
        found[row.slug] = row.id
        found[str(row.id)] = row.id
    return found


def _is_id(name: str) -> bool:
    try:
        return str(UUID(name)) == name
    except ValueError:
        return False


async def hold_observations(session: AsyncSession) -> None:
    """Lets nobody else record or correct figures of the workspace until this transaction ends: two who do so at once
    would each see that none holds yet."""
    await session.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"),
        {"key": f"observations:{workspace_of(session)}"},
    )


async def holding(session: AsyncSession, cells: Collection[Cell]) -> dict[Cell, Observation]:
    """The figures that hold in these cells."""
    found = list(cells)
    rows = await session.scalars(
        select(Observation).from_statement(
            text("""
                SELECT o.* FROM unnest(cast(:metrics AS text[]), cast(:days AS date[]), cast(:campaigns AS uuid[]),
                    cast(:references AS text[])) AS c(metric, day, campaign, reference)
                JOIN observation o ON o.workspace_id = :workspace AND o.metric = c.metric AND o.day = c.day
                    AND o.campaign_id IS NOT DISTINCT FROM c.campaign AND o.reference = c.reference
                    AND o.superseded_at IS NULL
            """)
        ),
        {
            "workspace": workspace_of(session), "metrics": [cell[0] for cell in found],
            "days": [cell[1] for cell in found], "campaigns": [cell[2] for cell in found],
            "references": [cell[3] for cell in found],
        },
    )  # fmt: skip
    return {(row.metric, row.day, row.campaign_id, row.reference): row for row in rows.all()}


async def add_observations(session: AsyncSession, rows: Sequence[Observation]) -> None:
    session.add_all(rows)
    await session.flush()


async def correction_of(session: AsyncSession, observation_id: UUID) -> UUID | None:
    """The observation that corrects this one."""
    found = await session.scalars(select(Observation.id).where(col(Observation.corrects_id) == observation_id))
    return found.one_or_none()
