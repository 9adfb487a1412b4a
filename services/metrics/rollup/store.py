"""Decides how events become numbers: noted beside them as they are stored, folded in bulk, or made again from them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any
from uuid import UUID

from pyroaring import BitMap
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import workspace_of
from services.metrics.change.models import Change
from services.metrics.change.store import note_change
from services.metrics.event.rules import EventVerdict, first_whole_day
from services.metrics.metric.rules import DistinctKey, Verdicts
from services.metrics.rollup.rules import IN_SETS, NO_CAMPAIGN, Cell, Piece, month_of

LOCK_TIMEOUT = "10s"
# What a rebuild of all may take, where a request's statements have half a minute.
REBUILD_TIMEOUT = "15min"
# Notes that are folded in one transaction; a large one would hold what readers fold back for long.
MOST_NOTES = 5_000
# So many may be folded by whoever asks for numbers; beyond that the background does, and the watermark says so.
MOST_BY_READERS = 500

# Notes what the rows of `fresh` (source_id, campaign_id, occurred_at, type, verdict, recipient_id, message_id,
# received_at) add to the numbers. {WORKSPACE} and {ZONE} are the statement's own.
NOTE = f"""
    INSERT INTO uncounted (workspace_id, id, source_id, campaign_id, day, type, verdict, count, pairs, received_at)
    SELECT {{WORKSPACE}}, gen_random_uuid(), source_id, coalesce(campaign_id, '{NO_CAMPAIGN}'),
        local_day(occurred_at, {{ZONE}}), type, verdict, count(*),
        string_agg(pair_hash(recipient_id, message_id) || uuid_send(recipient_id), '')
            FILTER (WHERE type = ANY ('{{{{{",".join(sorted(IN_SETS))}}}}}') AND recipient_id IS NOT NULL),
        max(received_at)
    FROM fresh GROUP BY source_id, campaign_id, local_day(occurred_at, {{ZONE}}), type, verdict
"""

_TAKE = text("""
    WITH taken AS (
        DELETE FROM uncounted WHERE workspace_id = :workspace AND id IN (
            SELECT id FROM uncounted WHERE workspace_id = :workspace LIMIT :most
        ) RETURNING source_id, campaign_id, day, type, verdict, count, pairs
    ), added AS (
        INSERT INTO counted (workspace_id, campaign_id, grain, start, source_id, type, verdict, count)
        SELECT :workspace, campaign_id, piece.grain, piece.start, source_id, type, verdict, sum(count) FROM taken
        CROSS JOIN LATERAL (
            VALUES ('day', day), ('month', cast(date_trunc('month', cast(day AS timestamp)) AS date))
        ) AS piece(grain, start)
        GROUP BY campaign_id, piece.grain, piece.start, source_id, type, verdict
        ON CONFLICT (workspace_id, campaign_id, grain, start, source_id, type, verdict)
        DO UPDATE SET count = counted.count + excluded.count
    )
    SELECT campaign_id, day, source_id, type, verdict, string_agg(pairs, '') AS pairs, count(*) AS notes FROM taken
    GROUP BY campaign_id, day, source_id, type, verdict
""")
_KNOWN = text("SELECT hash, number FROM pair WHERE workspace_id = :workspace AND hash = ANY(cast(:hashes AS bytea[]))")
_NUMBER = text("""
    INSERT INTO numbering AS n (workspace_id, next) VALUES (:workspace, :many)
    ON CONFLICT (workspace_id) DO UPDATE SET next = n.next + excluded.next RETURNING next
""")
_ADD_PAIRS = text("""
    INSERT INTO pair (workspace_id, hash, number)
    SELECT :workspace, each.hash, each.number
    FROM unnest(cast(:hashes AS bytea[]), cast(:numbers AS int[])) AS each(hash, number)
""")
_SETS = text("""
    SELECT r.campaign_id, r.grain, r.start, r.source_id, r.type, r.unit, r.humans, r.bots, r.unknowns
    FROM unnest(cast(:campaigns AS uuid[]), cast(:grains AS text[]), cast(:starts AS date[]), cast(:sources AS uuid[]),
        cast(:types AS text[]), cast(:units AS text[])) AS c(campaign, grain, start, source, type, unit)
    JOIN reach r ON r.workspace_id = :workspace AND r.campaign_id = c.campaign AND r.grain = c.grain
        AND r.start = c.start AND r.source_id = c.source AND r.type = c.type AND r.unit = c.unit
""")
_PUT_SETS = text("""
    INSERT INTO reach (workspace_id, campaign_id, grain, start, source_id, type, unit, human, bot, unknown, humans,
        bots, unknowns)
    SELECT :workspace, each.* FROM unnest(cast(:campaigns AS uuid[]), cast(:grains AS text[]), cast(:starts AS date[]),
        cast(:sources AS uuid[]), cast(:types AS text[]), cast(:units AS text[]), cast(:human AS int[]),
        cast(:bot AS int[]), cast(:unknown AS int[]), cast(:humans AS bytea[]), cast(:bots AS bytea[]),
        cast(:unknowns AS bytea[])) AS each
    ON CONFLICT (workspace_id, campaign_id, grain, start, source_id, type, unit) DO UPDATE SET
        human = excluded.human, bot = excluded.bot, unknown = excluded.unknown,
        humans = excluded.humans, bots = excluded.bots, unknowns = excluded.unknowns
""")

# A set's campaign, piece, first day, source, type and what it is of; and that by verdict.
SetKey = tuple[UUID, str, date, UUID, str, str]
Sets = dict[EventVerdict, BitMap]
COLUMNS = {EventVerdict.HUMAN: "humans", EventVerdict.BOT: "bots", EventVerdict.UNKNOWN: "unknowns"}


async def fold(session: AsyncSession, most: int = MOST_NOTES) -> int:
    """Adds what was noted to the numbers, in this transaction; how many notes that were.

    Whoever folds a workspace does so alone. A fold that is cut short never was: its notes are there again.
    """
    await _alone(session, "SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))")
    return await _fold_and_tell(session, most)


async def fold_little(session: AsyncSession) -> None:
    """The same for who reads, if it is little and nobody else is at it."""
    waiting = await session.scalar(
        text("SELECT count(*) FROM (SELECT FROM uncounted WHERE workspace_id = :id LIMIT :most) AS first"),
        {"id": workspace_of(session), "most": MOST_BY_READERS + 1},
    )
    little = waiting and waiting <= MOST_BY_READERS
    if little and await _alone(session, "SELECT pg_try_advisory_xact_lock(hashtextextended(:key, 0))"):
        await _fold_and_tell(session, MOST_NOTES)


async def _alone(session: AsyncSession, statement: str) -> bool:
    return bool(await session.scalar(text(statement), {"key": f"fold:{workspace_of(session)}"}) is not False)


async def _fold_and_tell(session: AsyncSession, most: int) -> int:
    taken = await _fold(session, most)
    campaigns = ((None if row.campaign_id == NO_CAMPAIGN else row.campaign_id, row.day) for row in taken)
    await note_change(session, Change.over(campaigns), session.info["clock"]())
    return sum(row.notes for row in taken)


async def _fold(session: AsyncSession, most: int) -> Sequence[Any]:
    """What was folded, by cell, type and verdict."""
    taken = (await session.execute(_TAKE, {"workspace": workspace_of(session), "most": most})).all()
    with_pairs = [row for row in taken if row.pairs]
    if with_pairs:
        numbers = await number(session, {each for row in with_pairs for each in _split(row.pairs)})
        added: dict[SetKey, Sets] = defaultdict(lambda: defaultdict(BitMap))
        for row in with_pairs:
            each = [numbers[name] for name in _split(row.pairs)]
            for unit, found in (
                (DistinctKey.RECIPIENT_MESSAGE, BitMap(each[::2])), (DistinctKey.RECIPIENT, BitMap(each[1::2])),
            ):  # fmt: skip
                for piece, start in ((Piece.DAY, row.day), (Piece.MONTH, month_of(row.day))):
                    key = (row.campaign_id, piece.value, start, row.source_id, row.type, unit.value)
                    added[key][EventVerdict(row.verdict)] |= found
        await _unite(session, added)
    return taken


def _split(names: bytes) -> list[bytes]:
    """Pairs and recipients by turns."""
    return [names[place : place + 16] for place in range(0, len(names), 16)]


async def number(session: AsyncSession, hashes: set[bytes]) -> dict[bytes, int]:
    """The number of each pair and recipient, new ones where there is none yet."""
    named = {"workspace": workspace_of(session), "hashes": list(hashes)}
    found = {row.hash: row.number for row in await session.execute(_KNOWN, named)}
    missing = sorted(hashes - found.keys())
    if missing:
        end = await session.scalar(_NUMBER, {"workspace": workspace_of(session), "many": len(missing)})
        numbers = list(range(int(end or 0) - len(missing), int(end or 0)))
        await session.execute(_ADD_PAIRS, {"workspace": workspace_of(session), "hashes": missing, "numbers": numbers})
        found.update(zip(missing, numbers, strict=True))
    return found


async def _unite(session: AsyncSession, added: Mapping[SetKey, Sets]) -> None:
    for key, sets in (await read_sets(session, list(added))).items():
        for verdict, bitmap in sets.items():
            added[key][verdict] |= bitmap
    await put_sets(session, added)


async def read_sets(session: AsyncSession, keys: Sequence[SetKey]) -> dict[SetKey, Sets]:
    """The sets of these keys; empty ones where there are none."""
    found: dict[SetKey, Sets] = {key: defaultdict(BitMap) for key in keys}
    for row in (await session.execute(_SETS, {"workspace": workspace_of(session), **_keys(keys)})).all():
        found[row.campaign_id, row.grain, row.start, row.source_id, row.type, row.unit].update(sets_of(row))
    return found


async def put_sets(session: AsyncSession, found: Mapping[SetKey, Sets]) -> None:
    """Keeps these sets as they are."""
    if not found:
        return
    none = BitMap()
    figures: dict[str, list[Any]] = defaultdict(list)
    for sets in found.values():
        for name, size in vars(sizes(sets)).items():
            figures[name].append(size)
        for verdict, name in COLUMNS.items():
            bitmap = sets.get(verdict, none)
            figures[name].append(bitmap.serialize() if bitmap else None)
    await session.execute(_PUT_SETS, {"workspace": workspace_of(session), **_keys(list(found)), **figures})


def _keys(keys: Sequence[SetKey]) -> dict[str, Any]:
    named = ("campaigns", "grains", "starts", "sources", "types", "units")
    return {name: [key[place] for key in keys] for place, name in enumerate(named)}


def sets_of(row: Any) -> Sets:
    """The bitmaps of a row of `reach`, by verdict."""
    kept = ((verdict, getattr(row, name)) for verdict, name in COLUMNS.items())
    return {verdict: BitMap.deserialize(bytes(value)) for verdict, value in kept if value}


def sizes(sets: Mapping[EventVerdict, BitMap]) -> Verdicts:
    """How many there are, each by the most that is known of it."""
    none = BitMap()
    humans, bots, unknowns = (
        sets.get(each, none) for each in (EventVerdict.HUMAN, EventVerdict.BOT, EventVerdict.UNKNOWN)
    )
    known = humans | unknowns
    return Verdicts(len(humans), known.union_cardinality(bots) - len(known), len(known) - len(humans))


def sizes_together(found: Sequence[Sets]) -> Verdicts:
    """The same of the union of several."""
    alike = {verdict: [sets[verdict] for sets in found if verdict in sets] for verdict in COLUMNS}
    return sizes({verdict: BitMap.union(*bitmaps) for verdict, bitmaps in alike.items() if bitmaps})


async def seize_numbers(session: AsyncSession) -> str:
    """Waits for all writers of this workspace's events, and holds new ones back; answers the zone.

    Writers share the lock with each other (event/store.py takes it as it begins); whoever remaps or rebuilds holds it
    alone, so that each event is counted by exactly one of the two, under the mapping that holds afterwards.
    """
    # A writer that waits longer gives its connection back, and the platform sends again.
    await session.execute(text("SELECT set_config('lock_timeout', :most, true)"), {"most": LOCK_TIMEOUT})
    await session.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"), {"key": f"numbers:{workspace_of(session)}"}
    )
    # A statement of its own: what committed while this one waited for the lock is seen.
    zone = await session.scalar(
        text("SELECT zone FROM workspace WHERE workspace_id = :id"), {"id": workspace_of(session)}
    )
    return str(zone)


async def share_numbers(session: AsyncSession) -> str:
    """Keeps whoever remaps or rebuilds out until this transaction ends, and writers not; answers the zone."""
    await session.execute(text("SELECT set_config('lock_timeout', :most, true)"), {"most": LOCK_TIMEOUT})
    await session.execute(
        text("SELECT pg_advisory_xact_lock_shared(hashtextextended(:key, 0))"),
        {"key": f"numbers:{workspace_of(session)}"},
    )
    zone = await session.scalar(
        text("SELECT zone FROM workspace WHERE workspace_id = :id"), {"id": workspace_of(session)}
    )
    return str(zone)


_CELLS = (
    "unnest(cast(:sources AS uuid[]), cast(:campaigns AS uuid[]), cast(:days AS date[])) AS c(source, campaign, day)"
)
# The days' bounds are made before the events are read, and as ids: row security lets an index be searched by nothing
# that isn't leakproof. Two branches, since IS NOT DISTINCT FROM could use no index either.
_RENOTE_CELLS = text(
    """
    WITH cell AS MATERIALIZED (
        SELECT c.source, c.campaign, first_id(cast(c.day AS timestamp) AT TIME ZONE :zone) AS begins,
            first_id(cast(c.day + 1 AS timestamp) AT TIME ZONE :zone) AS ends
        FROM {CELLS}
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
    """.replace("{CELLS}", _CELLS)
    .replace("{NO_CAMPAIGN}", str(NO_CAMPAIGN))
    .replace("{NOTE}", NOTE.format(WORKSPACE=":workspace", ZONE=":zone"))
)
_RENOTE_ALL = text(
    "WITH fresh AS (SELECT * FROM occurrence WHERE workspace_id = :workspace AND id >= first_id(:since))"
    + NOTE.format(WORKSPACE=":workspace", ZONE=":zone")
)
_DAYS = text("""
    SELECT campaign_id, grain, start, source_id, type, unit, humans, bots, unknowns FROM reach
    WHERE workspace_id = :workspace AND grain = 'day' AND campaign_id = ANY(cast(:campaigns AS uuid[]))
        AND start >= :since AND start < :until
""")


async def rebuild(session: AsyncSession, cells: Sequence[Cell] | None = None) -> None:
    """Makes the roll-ups of these cells, or of the whole workspace, what the events say. Seize the numbers before.

    Days whose events are gone, or partly so, are sealed: they stay as they are.
    """
    workspace = workspace_of(session)
    while await fold(session):
        pass
    sealed = first_whole_day(session.info["clock"]())
    zone = await session.scalar(text("SELECT zone FROM workspace WHERE workspace_id = :id"), {"id": workspace})
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
        # Midnight of that day, wherever it comes first and last: events on the edge are of the sealed day.
        since = await session.scalar(
            text("SELECT cast(cast(:day AS date) AS timestamp) AT TIME ZONE :zone"), {"day": sealed, "zone": zone}
        )
        await session.execute(_RENOTE_ALL, {"workspace": workspace, "zone": zone, "since": since})
    else:
        await session.execute(_RENOTE_CELLS, {"workspace": workspace, "zone": zone, **named})
    while await _fold(session, MOST_NOTES):
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
            "until": date(max(starts).year + max(starts).month // 12, max(starts).month % 12 + 1, 1),
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


Tallies = Mapping[tuple[Cell, str, str], int]


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


async def uncounted_workspaces(session: AsyncSession) -> Sequence[UUID]:
    """Workspaces with something noted (worker transaction)."""
    return (await session.execute(text("SELECT DISTINCT workspace_id FROM uncounted"))).scalars().all()
