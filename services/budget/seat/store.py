"""Decides how seats are read and written: counted in one query, and moved forward by uses in one."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import workspace_of
from chassis.reading import Source
from chassis.secrets import keyed_hash
from services.budget.person import store as people
from services.budget.seat.rules import Bought, Counted, Use, Waste, idle_since, waste

_COUNT = """
    SELECT contract.id, contract.currency, contract.cost_minor, contract.seat_count, contract.department AS owner,
        contract.term_start, contract.term_end, contract.turns_on, counted.department, counted.assigned, counted.idle
    FROM contract LEFT JOIN LATERAL (
        SELECT department, count(*) AS assigned, count(*) FILTER (WHERE active_on <= :idle_since) AS idle
        FROM seat WHERE seat.workspace_id = :workspace AND seat.contract_id = contract.id AND NOT is_released
        GROUP BY department
    ) AS counted ON true
    WHERE contract.workspace_id = :workspace AND {which}
    ORDER BY contract.id, counted.department
"""
_OF_THESE = text(_COUNT.format(which="contract.id = ANY(cast(:ids AS uuid[]))"))
_RUNNING = text(_COUNT.format(which="contract.term_end > :today AND contract.state <> 'lapsed'"))


async def waste_of(source: Source, contract_ids: Sequence[UUID], idle_days: int, today: date) -> dict[UUID, Waste]:
    """What of contracts is wasted, of those that exist and have seats; one query."""
    values = {"ids": list(dict.fromkeys(contract_ids)), "idle_since": idle_since(today, idle_days)}
    rows = await source.execute(_OF_THESE, {"workspace": workspace_of(source), **values})
    return _wastes(rows.all(), today)


async def waste_of_all(source: Source, idle_days: int, today: date) -> dict[UUID, Waste]:
    """What is wasted of every contract whose term runs; one query."""
    values = {"today": today, "idle_since": idle_since(today, idle_days)}
    rows = await source.execute(_RUNNING, {"workspace": workspace_of(source), **values})
    return _wastes(rows.all(), today)


def _wastes(rows: Sequence[Any], today: date) -> dict[UUID, Waste]:
    bought: dict[UUID, Bought] = {}
    counted: dict[UUID, list[Counted]] = {}
    for row in rows:
        bought[row.id] = Bought(
            row.cost_minor, row.currency, row.seat_count, row.owner, row.term_start, row.term_end, row.turns_on
        )  # fmt: skip
        of_it = counted.setdefault(row.id, [])
        if row.department is not None:
            of_it.append(Counted(row.department, row.assigned, row.idle))
    found = {key: waste(each, counted[key], today) for key, each in bought.items()}
    return {key: each for key, each in found.items() if each is not None}


async def note_uses(session: AsyncSession, key: bytes, contract_id: UUID, uses: Sequence[Use]) -> tuple[int, list[int]]:
    """Moves seats' last day of use forward, never back: told in whatever order and however often, the same comes of
    it. How many seats moved, and the rows of people who have none. The contract is held by this transaction."""
    rows: dict[bytes, list[int]] = {}
    latest: dict[bytes, date] = {}
    for use in uses:
        hashed = keyed_hash(key, use.address)
        rows.setdefault(hashed, []).append(use.row)
        latest[hashed] = max(use.day, latest.get(hashed, use.day))
    values = {
        "workspace": workspace_of(session), "contract": contract_id,
        "hashes": list(latest), "days": list(latest.values()),
    }  # fmt: skip
    known = await session.scalars(_SEATED, values)
    unknown = sorted(row for hashed in latest.keys() - set(known) for row in rows[hashed])
    moved = await session.execute(_MOVE, values)
    return len(moved.all()), unknown


async def addresses_of(source: Source, seats: Sequence[Any]) -> Mapping[UUID, str]:
    """Each seat's address."""
    found = await people.addresses_of(source, {seat.person_id for seat in seats})
    return {seat.id: found[seat.person_id] for seat in seats if seat.person_id in found}


_SEATED = text("""
    SELECT person.address_hash FROM person
    JOIN seat ON seat.workspace_id = :workspace AND seat.person_id = person.id
        AND seat.contract_id = :contract AND NOT seat.is_released
    WHERE person.workspace_id = :workspace AND person.address_hash = ANY(cast(:hashes AS bytea[]))
""")
_MOVE = text("""
    UPDATE seat SET last_used_on = told.day, active_on = greatest(seat.active_on, told.day)
    FROM unnest(cast(:hashes AS bytea[]), cast(:days AS date[])) AS told (hash, day)
    JOIN person ON person.workspace_id = :workspace AND person.address_hash = told.hash
    WHERE seat.workspace_id = :workspace AND seat.contract_id = :contract AND seat.person_id = person.id
        AND NOT seat.is_released AND (seat.last_used_on IS NULL OR seat.last_used_on < told.day)
    RETURNING 1
""")


async def has_seat(session: AsyncSession, contract_id: UUID, person_id: UUID) -> bool:
    """Whether a person has a seat of a contract that is held by this transaction."""
    values = {"workspace": workspace_of(session), "contract": contract_id, "person": person_id}
    return bool(await session.scalar(_HAS, values))


_HAS = text("""
    SELECT true FROM seat
    WHERE workspace_id = :workspace AND contract_id = :contract AND person_id = :person AND NOT is_released
""")
