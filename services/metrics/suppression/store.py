"""Decides how reasons not to write to somebody are found and kept."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import workspace_of
from chassis.fields import new_id
from chassis.reading import Source
from services.metrics.event.rules import EventType
from services.metrics.suppression.rules import (
    REASONS,
    Known,
    Sign,
    SuppressionReason,
    after,
    asked,
    reason_of,
    revised,
)

Place = tuple[bytes, SuppressionReason]

_KNOWN = text("""
    SELECT s.address_hash, s.reason, s.asked_at, s.held_at, s.lifted_at, s.event_id, s.source_id
    FROM unnest(cast(:hashes AS bytea[]), cast(:reasons AS text[])) AS wanted(hash, reason)
    JOIN suppression s ON s.workspace_id = :workspace AND s.address_hash = wanted.hash AND s.reason = wanted.reason
    ORDER BY s.address_hash, s.reason FOR UPDATE OF s
""")
_PEOPLE_S = text("""
    SELECT r.address_hash, (
        SELECT max(e.occurred_at) FROM occurrence e WHERE e.workspace_id = :workspace AND e.recipient_id = r.id
            AND e.type = 'unsubscribed' AND e.verdict <> 'bot'
    ) AS at
    FROM recipient r WHERE r.workspace_id = :workspace AND r.address_hash = ANY(cast(:hashes AS bytea[]))
""")
_PUT = text("""
    INSERT INTO suppression (workspace_id, id, address_hash, reason, state, source_id, event_id, since, asked_at,
        held_at, lifted_at, version)
    SELECT :workspace, each.*, 1 FROM unnest(
        cast(:ids AS uuid[]), cast(:hashes AS bytea[]), cast(:reasons AS text[]), cast(:states AS text[]),
        cast(:sources AS uuid[]), cast(:events AS uuid[]), cast(:since AS timestamptz[]),
        cast(:asked AS timestamptz[]), cast(:held AS timestamptz[]), cast(:lifted AS timestamptz[])
    ) AS each
    ON CONFLICT (workspace_id, address_hash, reason) DO UPDATE SET
        state = excluded.state, source_id = excluded.source_id, event_id = excluded.event_id, since = excluded.since,
        asked_at = excluded.asked_at, held_at = excluded.held_at, lifted_at = excluded.lifted_at,
        version = suppression.version + 1
""")


async def put_signs(session: AsyncSession, signs: Sequence[Sign]) -> None:
    """Keeps what these events say of whom not to write to."""
    found: dict[Place, list[Sign]] = defaultdict(list)
    for sign in signs:
        if sign.type in REASONS or sign.type is EventType.SUBSCRIBED:
            found[sign.address_hash, reason_of(sign)].append(sign)
    if not found:
        return
    # One at a time: of a place that isn't there yet there is no row to hold.
    await session.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"), {"key": f"suppress:{workspace_of(session)}"}
    )
    before = await _known(session, list(found))
    doubted = [
        sign for place, together in found.items() for sign in together if _is_doubted(sign, before.get(place, Known()))
    ]
    people_s = await _people_s_last(session, [sign.address_hash for sign in doubted]) if doubted else {}
    now: dict[Place, Known] = {}
    for place, together in found.items():
        known = start = before.get(place, Known())
        for sign in together:
            last = people_s.get(sign.address_hash)
            known = revised(known, sign, last) if sign in doubted else after(known, sign)
        if known != start:
            now[place] = known
    await put(session, now)


async def _known(session: AsyncSession, places: Sequence[Place]) -> dict[Place, Known]:
    rows = await session.execute(
        _KNOWN,
        {
            "workspace": workspace_of(session), "hashes": [each for each, _ in places],
            "reasons": [each.value for _, each in places],
        },
    )  # fmt: skip
    return {
        (bytes(row.address_hash), SuppressionReason(row.reason)): Known(
            row.asked_at, row.held_at, row.lifted_at, row.event_id, row.source_id
        )
        for row in rows.all()
    }


def _is_doubted(sign: Sign, before: Known) -> bool:
    """Whether a machine made what a person was thought to have asked by."""
    return sign.by_machine and sign.type is EventType.UNSUBSCRIBED and before.asked_at == sign.at


async def _people_s_last(session: AsyncSession, hashes: Sequence[bytes]) -> dict[bytes, datetime | None]:
    """When these last unsubscribed, by what isn't a machine's."""
    rows = await session.execute(_PEOPLE_S, {"workspace": workspace_of(session), "hashes": list(hashes)})
    return {bytes(row.address_hash): row.at for row in rows.all()}


async def put(session: AsyncSession, known: Mapping[Place, Known]) -> None:
    """Keeps what is known of these."""
    places = sorted(known)  # one order for all writers, or they deadlock
    values = [known[place] for place in places]
    await session.execute(
        _PUT,
        {
            "workspace": workspace_of(session), "ids": [new_id() for _ in places],
            "hashes": [each for each, _ in places], "reasons": [each.value for _, each in places],
            "states": [each.state().value for each in values], "sources": [each.source_id for each in values],
            "events": [each.event_id for each in values], "since": [each.since() for each in values],
            "asked": [each.asked_at for each in values], "held": [each.held_at for each in values],
            "lifted": [each.lifted_at for each in values],
        },
    )  # fmt: skip


async def put_by_hand(session: AsyncSession, address_hash: bytes, now: datetime) -> UUID:
    """Adds one address by hand; the id of what is kept."""
    place = address_hash, SuppressionReason.BY_HAND
    before = (await _known(session, [place])).get(place, Known())
    await put(session, {place: asked(before, now)})
    found = text(
        "SELECT id FROM suppression WHERE workspace_id = :workspace AND address_hash = :hash AND reason = :why"
    )
    named = {"workspace": workspace_of(session), "hash": address_hash, "why": SuppressionReason.BY_HAND.value}
    kept: UUID = (await session.execute(found, named)).scalar_one()
    return kept


_ADDRESSES = text("""
    SELECT s.id, r.address FROM suppression s
    JOIN recipient r ON r.workspace_id = s.workspace_id AND r.address_hash = s.address_hash
    WHERE s.id = ANY(:ids)
""")


async def addresses_of(source: Source, ids: Sequence[UUID]) -> dict[UUID, str]:
    """The address of each, unless it is erased."""
    return dict((await source.execute(_ADDRESSES, {"ids": list(ids)})).all())


_EXPORT = text("""
    SELECT s.id, r.address, s.reason, s.state, s.since, encode(s.address_hash, 'hex') AS hash FROM (
        SELECT * FROM suppression WHERE workspace_id = :workspace AND state = ANY(cast(:states AS text[]))
            AND (cast(:last AS uuid) IS NULL OR id > :last)
        ORDER BY id LIMIT :most
    ) AS s
    LEFT JOIN recipient r ON r.workspace_id = s.workspace_id AND r.address_hash = s.address_hash
    ORDER BY s.id
""")


async def suppressed_after(
    session: AsyncSession, states: Sequence[str], last: UUID | None, most: int
) -> tuple[list[tuple[str | None, str, str, datetime, str]], UUID | None]:
    """Those after the one given, so many at most, and the last of them where there may be more."""
    rows = await session.execute(
        _EXPORT, {"workspace": workspace_of(session), "states": list(states), "last": last, "most": most}
    )
    found = rows.all()
    lines = [(row.address, row.reason, row.state, row.since, row.hash) for row in found]
    return lines, found[-1].id if len(found) == most else None
