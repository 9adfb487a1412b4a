"""Decides how a workspace's own definitions are read and written, beside those that are shipped."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import delete, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from chassis.db import workspace_of
from chassis.errors import NotFound
from chassis.reading import Source
from services.metrics.metric.catalogue import CATALOGUE
from services.metrics.metric.models import Metric, MetricVersion
from services.metrics.metric.rules import (
    BotPolicy,
    Combining,
    Definition,
    DistinctKey,
    ImpressionsFrom,
    MetricDirection,
    MetricUnit,
    NullPolicy,
)
from services.metrics.series.rules import Grain

Asked = tuple[str, int | None]

_COLUMNS = """
    SELECT v.key, v.version, v.name, v.words, v.unit, v.direction, v.expression, v.observed, v.bots, v.distinct_key,
        v.impressions_from, v.nulls, v.grain, v.currency, v.additive, v.uses, v.created_at, m.retired_at,
        m.version AS newest
    FROM metric_version v JOIN metric m ON (m.workspace_id, m.key) = (v.workspace_id, v.key)
"""
_NAMED = text(
    f"""{_COLUMNS} JOIN unnest(cast(:keys AS text[]), cast(:versions AS int[])) AS asked(key, version)
        ON asked.key = v.key AND v.version = coalesce(asked.version, m.version)
        WHERE v.workspace_id = :workspace"""
)
_NEWEST = text(f"{_COLUMNS} WHERE v.workspace_id = :workspace AND v.version = m.version ORDER BY v.key")
_VERSIONS = text(f"{_COLUMNS} WHERE v.workspace_id = :workspace AND v.key = :key ORDER BY v.version DESC")


@dataclass
class Definitions:
    """Definitions that were asked for, and all that they rest on."""

    newest: dict[str, Definition] = field(default_factory=dict)
    book: dict[tuple[str, int], Definition] = field(default_factory=dict)

    def get(self, key: str, version: int | None = None) -> Definition:
        """A metric's newest version, or the one named; NotFound when there is none."""
        found = self.newest.get(key) if version is None else self.book.get((key, version))
        if found is None:
            raise NotFound(f"no metric {key[:100]}" + ("" if version is None else f" of version {version}"))
        return found


async def definitions(source: Source, asked: Iterable[Asked]) -> Definitions:
    """These metrics, each in its newest version or the one named. Shipped ones cost nothing."""
    found = Definitions()
    missing = set()
    for key, version in asked:
        shipped = CATALOGUE.get(key)
        if shipped is None:
            missing.add((key, version))
        elif version in (None, shipped.version):
            found.newest[key] = found.book[key, shipped.version] = shipped
    # What these rest on: as many levels down as a definition may go.
    while missing:
        rows = await source.execute(
            _NAMED,
            {
                "workspace": workspace_of(source), "keys": [key for key, _ in missing],
                "versions": [version for _, version in missing],
            },
        )  # fmt: skip
        missing = set()
        for row in rows.all():
            each = _definition(row)
            found.book[each.key, each.version] = each
            if row.newest == each.version:
                found.newest[each.key] = each
            for used in each.uses.items():
                if used[0] in CATALOGUE:
                    found.book[used] = CATALOGUE[used[0]]
                elif used not in found.book:
                    missing.add(used)
    return found


async def own_definitions(source: Source) -> list[Definition]:
    """The newest version of each of the workspace's own."""
    return [_definition(row) for row in (await source.execute(_NEWEST, {"workspace": workspace_of(source)})).all()]


async def versions_of(source: Source, key: str) -> list[Definition]:
    """Every version of one, the newest first."""
    if key in CATALOGUE:
        return [CATALOGUE[key]]
    rows = (await source.execute(_VERSIONS, {"workspace": workspace_of(source), "key": key})).all()
    if not rows:
        raise NotFound(f"no metric {key[:100]}")
    return [_definition(row) for row in rows]


def _definition(row: Any) -> Definition:
    uses = (each.rpartition("@") for each in row.uses)
    return Definition(
        key=row.key, version=row.version, name=row.name, words=row.words, unit=MetricUnit(row.unit),
        direction=MetricDirection(row.direction), expression=row.expression,
        observed=Combining(row.observed) if row.observed else None, bots=BotPolicy(row.bots),
        distinct_key=DistinctKey(row.distinct_key), impressions_from=ImpressionsFrom(row.impressions_from),
        nulls=NullPolicy(row.nulls), grain=Grain(row.grain), currency=row.currency, additive=row.additive,
        uses={key: int(version) for key, _, version in uses}, shipped=False, created_at=row.created_at,
        retired_at=row.retired_at,
    )  # fmt: skip


async def hold_metric(session: AsyncSession, key: str) -> Metric:
    """The workspace's own metric of this key, held until the transaction ends; NotFound if there is none."""
    row = (await session.scalars(select(Metric).where(col(Metric.key) == key).with_for_update())).one_or_none()
    if row is None:
        raise NotFound(f"no metric {key[:100]} of this workspace's own")
    return row


async def hold_catalogue(session: AsyncSession) -> int:
    """Lets nobody else change the workspace's definitions until this transaction ends; how many there are. Two that are
    saved at once could otherwise make a circle that neither sees."""
    await session.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"), {"key": f"catalogue:{workspace_of(session)}"}
    )
    count = await session.scalar(text("SELECT count(*) FROM metric"))
    return int(count or 0)


async def add_version(session: AsyncSession, metric: Metric, found: Definition, who: str, now: datetime) -> None:
    """Keeps a definition as its metric's newest version."""
    names = MetricVersion.model_fields.keys() & Definition.__dataclass_fields__.keys() - {"uses", "created_at"}
    values = {name: getattr(found, name) for name in names}
    metric.version = found.version
    session.add(metric)
    await session.flush()
    session.add(
        MetricVersion.model_validate(
            {
                **values, "uses": uses_of(found), "created_at": now, "created_by": who,
                "workspace_id": workspace_of(session),
            }
        )
    )  # fmt: skip
    await session.flush()


def uses_of(found: Definition) -> list[str]:
    return [f"{key}@{version}" for key, version in found.uses.items()]


_USERS = {
    "metrics": """SELECT DISTINCT v.key AS name FROM metric_version v, unnest(v.uses) AS used
                  WHERE v.key <> :key AND used LIKE replace(:key, '_', '\\_') || '@%' ORDER BY 1 LIMIT 5""",
    "observations": "SELECT 'observations' AS name FROM observation WHERE metric = :key LIMIT 1",
    "alerts": "SELECT name FROM alert WHERE metric = :key ORDER BY 1 LIMIT 5",
}


async def users_of(session: AsyncSession, key: str) -> Mapping[str, list[str]]:
    """What here rests on a metric: any version of others, observations, alerts."""
    found = {}
    for kind, statement in _USERS.items():
        rows = (await session.execute(text(statement), {"key": key})).scalars().all()
        if rows:
            found[kind] = list(rows)
    return found


async def drop_metric(session: AsyncSession, metric: Metric) -> None:
    """Takes a metric away, with all its versions."""
    await session.execute(delete(MetricVersion).where(col(MetricVersion.key) == metric.key))
    await session.delete(metric)
    await session.flush()


def names_in(definitions_asked: Collection[str]) -> list[Asked]:
    """Keys, each to be found in its newest version."""
    return [(key, None) for key in definitions_asked]
