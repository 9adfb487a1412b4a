"""Decides how exact sets are kept: bitmaps of dense numbers, by cell, piece and verdict, with their sizes beside."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any
from uuid import UUID

from pyroaring import BitMap
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import workspace_of
from services.metrics.event.rules import EventVerdict
from services.metrics.metric.rules import Verdicts

# A set's campaign, piece, first day, source, type and what it is of; and that by verdict.
SetKey = tuple[UUID, str, date, UUID, str, str]
Sets = dict[EventVerdict, BitMap]
COLUMNS = {EventVerdict.HUMAN: "humans", EventVerdict.BOT: "bots", EventVerdict.UNKNOWN: "unknowns"}

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


async def unite_sets(session: AsyncSession, added: Mapping[SetKey, Sets]) -> None:
    """Adds these sets to those that are kept."""
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
