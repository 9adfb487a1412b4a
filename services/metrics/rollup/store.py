"""Decides how events become numbers: folded in as they are stored, or rebuilt from all that is stored."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy import delete, text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import workspace_of
from services.metrics.rollup.models import impression, tally
from services.metrics.rollup.rules import Cell

LOCK_TIMEOUT = "10s"
# What a rebuild of all may take, where a request's statements have half a minute.
REBUILD_TIMEOUT = "15min"

# Folds the rows of `fresh` (workspace_id, source_id, campaign_id, day, type, verdict, recipient_id, message_id) into
# the roll-ups, as two parts of a WITH. Rows are sorted: concurrent writers that meet in two orders deadlock.
FOLD = """
    tallied AS (
        INSERT INTO tally (workspace_id, source_id, campaign_id, day, type, verdict, count)
        SELECT workspace_id, source_id, campaign_id, day, type, verdict, count(*) FROM fresh
        GROUP BY workspace_id, source_id, campaign_id, day, type, verdict
        ORDER BY campaign_id, day, source_id, type, verdict
        ON CONFLICT (workspace_id, campaign_id, day, source_id, type, verdict)
        DO UPDATE SET count = tally.count + excluded.count
    ), shown AS (
        INSERT INTO impression (workspace_id, source_id, campaign_id, day, verdict, recipient_id, message, type)
        SELECT DISTINCT workspace_id, source_id, campaign_id, day, verdict, recipient_id, message_hash(message_id), type
        FROM fresh WHERE type IN ('opened', 'clicked') AND recipient_id IS NOT NULL
        ORDER BY 3, 4, 8, 2, 5, 6, 7
        ON CONFLICT DO NOTHING
    )
"""

_CELLS = (
    "unnest(cast(:sources AS uuid[]), cast(:campaigns AS uuid[]), cast(:days AS date[])) AS c(source, campaign, day)"
)
# {CELLS} and {EVENTS} are constants below; nothing from outside is ever put in.
_REBUILD = """
    WITH {CELLS} fresh AS (
        SELECT e.workspace_id, e.source_id, e.campaign_id, local_day(e.occurred_at, w.zone) AS day, e.type, e.verdict,
            e.recipient_id, e.message_id
        FROM workspace w {EVENTS}
    ), {FOLD}
    SELECT count(*) FROM fresh
"""
_REBUILD_ALL = text(
    _REBUILD.replace("{CELLS}", "")
    .replace("{EVENTS}", "JOIN event e ON e.workspace_id = w.workspace_id")
    .replace("{FOLD}", FOLD)
)
# The days' bounds are made before the events are read: AT TIME ZONE isn't leakproof, so that row security lets no index
# be searched by an expression with it. Two branches, since IS NOT DISTINCT FROM could use no index either.
_REBUILD_CELLS = text(
    _REBUILD.replace(
        "{CELLS}",
        """cell AS MATERIALIZED (
            SELECT c.source, c.campaign, cast(c.day AS timestamp) AT TIME ZONE w.zone AS begins,
                cast(c.day + 1 AS timestamp) AT TIME ZONE w.zone AS ends
            FROM workspace w CROSS JOIN {CELLS}
        ),""",
    )
    .replace("{CELLS}", _CELLS)
    .replace(
        "{EVENTS}",
        """CROSS JOIN cell CROSS JOIN LATERAL (
            SELECT * FROM event WHERE workspace_id = w.workspace_id AND campaign_id = cell.campaign
                AND source_id = cell.source AND occurred_at >= cell.begins AND occurred_at < cell.ends
            UNION ALL
            SELECT * FROM event WHERE workspace_id = w.workspace_id AND campaign_id IS NULL AND cell.campaign IS NULL
                AND source_id = cell.source AND occurred_at >= cell.begins AND occurred_at < cell.ends
        ) AS e""",
    )
    .replace("{FOLD}", FOLD)
)
_MATCH = "source_id = c.source AND campaign_id IS NOT DISTINCT FROM c.campaign AND t.day = c.day"
_CLEAR_CELLS = [
    text(statement.replace("{CELLS}", _CELLS).replace("{MATCH}", _MATCH))
    for statement in (
        "DELETE FROM tally t USING {CELLS} WHERE {MATCH}",
        "DELETE FROM impression t USING {CELLS} WHERE {MATCH}",
    )
]


async def share_numbers(session: AsyncSession) -> str:
    """Keeps the mapping and the zone from changing until this transaction ends; answers the zone.

    Writers of events share the lock with each other; whoever remaps or rebuilds holds it alone, so that each event is
    counted by exactly one of the two, under the mapping that holds afterwards.
    """
    return await _lock(session, "SELECT pg_advisory_xact_lock_shared(hashtextextended(:key, 0))")


async def seize_numbers(session: AsyncSession) -> str:
    """Waits for all writers of this workspace's events, and holds new ones back; answers the zone."""
    return await _lock(session, "SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))")


async def _lock(session: AsyncSession, statement: str) -> str:
    # A writer that waits longer gives its connection back, and the platform sends again.
    await session.execute(text("SELECT set_config('lock_timeout', :most, true)"), {"most": LOCK_TIMEOUT})
    await session.execute(text(statement), {"key": f"numbers:{workspace_of(session)}"})
    # A statement of its own: what committed while this one waited for the lock is seen.
    zone = await session.scalar(
        text("SELECT zone FROM workspace WHERE workspace_id = :id"), {"id": workspace_of(session)}
    )
    return str(zone)


async def rebuild(session: AsyncSession, cells: Sequence[Cell] | None = None) -> None:
    """Makes the roll-ups of these cells, or of the whole workspace, what the events say. Seize the numbers before."""
    if cells is None:
        await session.execute(delete(tally))
        await session.execute(delete(impression))
        await session.execute(_REBUILD_ALL)
        return
    named = {
        "sources": [cell.source_id for cell in cells],
        "campaigns": [cell.campaign_id for cell in cells],
        "days": [cell.day for cell in cells],
    }
    for statement in (*_CLEAR_CELLS, _REBUILD_CELLS):
        await session.execute(statement, named)


async def cells_with_numbers(session: AsyncSession) -> list[Cell]:
    """Every cell of the workspace that counts anything."""
    rows = await session.execute(text("SELECT DISTINCT source_id, campaign_id, day FROM tally"))
    return [Cell(*row) for row in rows.all()]


Tallies = Mapping[tuple[Cell, str, str], int]


async def tallies(session: AsyncSession) -> Tallies:
    """How many events of each type and verdict each cell counts."""
    rows = await session.execute(text("SELECT source_id, campaign_id, day, type, verdict, count FROM tally"))
    return {(Cell(*row[:3]), row[3], row[4]): row[5] for row in rows.all()}


def differing(before: Tallies, after: Tallies) -> list[Cell]:
    """The cells that don't count what they did."""
    return list({place[0] for place in before.keys() | after.keys() if before.get(place) != after.get(place)})


async def allow_time(session: AsyncSession) -> None:
    """Lets the statements of this transaction take as long as a rebuild may."""
    await session.execute(text("SELECT set_config('statement_timeout', :most, true)"), {"most": REBUILD_TIMEOUT})


async def waiting_job(session: AsyncSession, name: str) -> UUID | None:
    """The workspace's job of this name that waits or runs."""
    found: UUID | None = await session.scalar(
        text("""SELECT id FROM work WHERE workspace_id = :workspace AND name = :name
                AND state IN ('waiting', 'running') LIMIT 1"""),
        {"workspace": workspace_of(session), "name": name},
    )
    return found
