"""Decides how numbers are made again from the events, as far back as these are kept whole."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from pyroaring import BitMap
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import workspace_of
from services.metrics.event.rules import first_whole_day
from services.metrics.rollup.folding import NOTE, fold, fold_untold
from services.metrics.rollup.rules import NO_CAMPAIGN, Cell, Piece, Tallies, midnight, month_after, month_of
from services.metrics.rollup.sets import SetKey, Sets, put_sets, sets_of

_CELLS = (
    "unnest(cast(:sources AS uuid[]), cast(:campaigns AS uuid[]), cast(:days AS date[])) AS c(source, campaign, day)"
)
# The days' bounds are made before the events are read, and as ids: row security lets an index be searched by nothing
# that isn't leakproof. Two branches, since IS NOT DISTINCT FROM could use no index either.
_RENOTE_CELLS = text(
    """
    WITH cell AS MATERIALIZED (
        SELECT c.source, c.campaign, first_id(c.begins) AS begins, first_id(c.ends) AS ends
        FROM unnest(cast(:sources AS uuid[]), cast(:campaigns AS uuid[]), cast(:begins AS timestamptz[]),
            cast(:ends AS timestamptz[])) AS c(source, campaign, begins, ends)
    ), fresh AS (
        SELECT e.* FROM cell CROSS JOIN LATERAL (
            SELECT * FROM occurrence WHERE workspace_id = :workspace AND campaign_id = cell.campaign
                AND source_id = cell.source AND id >= cell.begins AND id < cell.ends
            UNION ALL
            SELECT * FROM occurrence WHERE workspace_id = :workspace AND campaign_id IS NULL
                AND cell.campaign = '{NO_CAMPAIGN}' AND source_id = cell.source
                AND id >= cell.begins AND id < cell.ends
        ) AS e
    ) {NOTE}
    """.replace("{NO_CAMPAIGN}", str(NO_CAMPAIGN)).replace("{NOTE}", NOTE.format(WORKSPACE=":workspace", ZONE=":zone"))
)
_RENOTE_ALL = text(
    "WITH fresh AS (SELECT * FROM occurrence WHERE workspace_id = :workspace AND id >= first_id(:since))"
    + NOTE.format(WORKSPACE=":workspace", ZONE=":zone")
)
_SEALED = text("SELECT until FROM seal WHERE workspace_id = :workspace AND day = :day")
_SEAL = text("""
    INSERT INTO seal (workspace_id, day, until) VALUES (:workspace, :day, :until)
    ON CONFLICT (workspace_id) DO UPDATE SET day = excluded.day, until = excluded.until
""")
_DAYS = text("""
    SELECT campaign_id, grain, start, source_id, type, unit, humans, bots, unknowns FROM reach
    WHERE workspace_id = :workspace AND grain = 'day' AND campaign_id = ANY(cast(:campaigns AS uuid[]))
        AND start >= :since AND start < :until
""")


async def rebuild(session: AsyncSession, cells: Sequence[Cell] | None = None, zone_before: str | None = None) -> None:
    """Makes the roll-ups of these cells, or of the whole workspace, what the events say. Seize the numbers before.

    Days whose events are gone, or partly so, are sealed: they stay as they are, in the zone in which they were days. So
    where the zone changed, an event may be counted in a sealed day though by now it is of a later one, or have been
    added to one: each of those before `border` is, whatever zone comes next.
    """
    workspace = workspace_of(session)
    while await fold(session):
        pass
    sealed = first_whole_day(session.info["clock"]())
    zone = str(await session.scalar(text("SELECT zone FROM workspace WHERE workspace_id = :id"), {"id": workspace}))
    kept = await session.scalar(_SEALED, {"workspace": workspace, "day": sealed})
    border: datetime = kept or midnight(sealed, zone_before or zone)
    if cells is None:
        found = await session.execute(
            text(
                "SELECT DISTINCT campaign_id, source_id, start AS day FROM counted"
                " WHERE grain = 'day' AND start >= :sealed"
            ),
            {"sealed": sealed},
        )
        named = _named((row.source_id, row.campaign_id, row.day) for row in found.all())
    else:
        named = _named(
            (cell.source_id, cell.campaign_id or NO_CAMPAIGN, cell.day) for cell in cells if cell.day >= sealed
        )
    await _clear(session, Piece.DAY, named)
    await _months_from_days(session, named)
    if cells is None:
        await session.execute(_RENOTE_ALL, {"workspace": workspace, "zone": zone, "since": border})
        if zone_before:
            until = max(border, midnight(sealed, zone))
            await session.execute(_SEAL, {"workspace": workspace, "day": sealed, "until": until})
    else:
        spans = {
            "begins": [max(border, midnight(day, zone)) for day in named["days"]],
            "ends": [midnight(day + timedelta(days=1), zone) for day in named["days"]],
        }
        bound = {"sources": named["sources"], "campaigns": named["campaigns"], **spans}
        await session.execute(_RENOTE_CELLS, {"workspace": workspace, "zone": zone, **bound})
    while await fold_untold(session):
        pass


def _named(cells: Iterable[tuple[UUID, UUID, date]]) -> dict[str, Any]:
    found = list(cells)
    return {
        "sources": [source for source, _, _ in found],
        "campaigns": [campaign for _, campaign, _ in found],
        "days": [day for _, _, day in found],
    }


async def _clear(session: AsyncSession, piece: Piece, named: Mapping[str, Any]) -> None:
    for table in ("counted", "reach"):
        await session.execute(
            text(
                f"DELETE FROM {table} t USING {_CELLS} WHERE t.workspace_id = :workspace AND t.campaign_id = c.campaign"
                " AND t.grain = :grain AND t.start = c.day AND t.source_id = c.source"
            ),
            {**named, "workspace": workspace_of(session), "grain": piece.value},
        )


_SUM_DAYS = text(f"""
    INSERT INTO counted (workspace_id, campaign_id, grain, start, source_id, type, verdict, count)
    SELECT :workspace, t.campaign_id, 'month', c.day, t.source_id, t.type, t.verdict, sum(t.count)
    FROM {_CELLS} JOIN counted t ON t.workspace_id = :workspace AND t.campaign_id = c.campaign AND t.grain = 'day'
        AND t.start >= c.day AND t.start < cast(c.day + interval '1 month' AS date) AND t.source_id = c.source
    GROUP BY t.campaign_id, c.day, t.source_id, t.type, t.verdict
""")


async def _months_from_days(session: AsyncSession, named: Mapping[str, Any]) -> None:
    """Makes the months that hold these cells the union of the days that are left in them."""
    months = {
        (campaign, month_of(day), source)
        for source, campaign, day in zip(named["sources"], named["campaigns"], named["days"], strict=True)
    }
    if not months:
        return
    of_months = _named((source, campaign, start) for campaign, start, source in months)
    await _clear(session, Piece.MONTH, of_months)
    workspace = workspace_of(session)
    await session.execute(_SUM_DAYS, {"workspace": workspace, **of_months})
    left: dict[SetKey, Sets] = defaultdict(lambda: defaultdict(BitMap))
    starts = [start for _, start, _ in months]
    rows = await session.execute(
        _DAYS,
        {
            "workspace": workspace, "campaigns": list({campaign for campaign, _, _ in months}), "since": min(starts),
            "until": month_after(max(starts)),
        },
    )  # fmt: skip
    for row in rows.all():
        if (row.campaign_id, month_of(row.start), row.source_id) in months:
            key = (row.campaign_id, Piece.MONTH.value, month_of(row.start), row.source_id, row.type, row.unit)
            for verdict, bitmap in sets_of(row).items():
                left[key][verdict] |= bitmap
    await put_sets(session, left)


async def cells_with_numbers(session: AsyncSession) -> list[Cell]:
    """Every cell of the workspace that counts anything."""
    rows = await session.execute(
        text("SELECT DISTINCT source_id, campaign_id, start AS day FROM counted WHERE grain = 'day'")
    )
    return [
        Cell(row.source_id, None if row.campaign_id == NO_CAMPAIGN else row.campaign_id, row.day) for row in rows.all()
    ]


async def tallies(session: AsyncSession) -> Tallies:
    """How many events of each type and verdict each cell counts."""
    rows = await session.execute(
        text(
            "SELECT source_id, campaign_id, start, type, verdict, count FROM counted WHERE grain = 'day' AND count > 0"
        )
    )
    return {
        (Cell(source_id, None if campaign_id == NO_CAMPAIGN else campaign_id, day), kind, verdict): count
        for source_id, campaign_id, day, kind, verdict, count in rows.all()
    }


async def waiting_job(session: AsyncSession, name: str) -> UUID | None:
    """The workspace's job of this name that waits or runs."""
    found: UUID | None = await session.scalar(
        text("""SELECT id FROM work WHERE workspace_id = :workspace AND name = :name
                AND state IN ('waiting', 'running') LIMIT 1"""),
        {"workspace": workspace_of(session), "name": name},
    )
    return found
