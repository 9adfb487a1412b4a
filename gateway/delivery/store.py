"""Decides what endpoints are owed, who may tell them next, and what is noted of it: each in one statement."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import workspace_of
from chassis.inbox import Incoming
from gateway.delivery.models import Delivery
from gateway.delivery.places import Places
from gateway.delivery.rules import DeliveryState
from gateway.endpoint.models import Endpoint
from gateway.endpoint.rules import patterns_of

# Longer than an attempt takes; after a crash in the middle of one, it is told again when this has passed.
LEASE = timedelta(seconds=30)

# A UUIDv7, as all ids are: 48 bits of milliseconds over a random one, and the version's two bits.
_NEW_ID = """encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
    PLACING substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1 FOR 6),
    52, 1), 53, 1), 'hex')::uuid"""
_OWED = f"""
    INSERT INTO webhook_delivery
        (workspace_id, id, endpoint_id, happening_id, type, subject, position, state, attempts, due_at, created_at)
    SELECT e.workspace_id, {_NEW_ID}, e.id, h.id, h.type, h.subject, h.position, 'waiting', 0, :now, :now
"""


async def owe(session: AsyncSession, events: Sequence[Incoming], now: datetime) -> None:
    """Has every endpoint that wants one of these events, all just kept, told of it."""
    row = {
        "workspace": workspace_of(session), "now": now, "ids": [each.id for each in events],
        "patterns": [" ".join(patterns_of(each.type)) for each in events],
    }  # fmt: skip
    _wake(session, await session.execute(_OWE, row))


async def owe_one(session: AsyncSession, endpoint: Endpoint, event: Incoming, now: datetime) -> UUID:
    """Has one endpoint told of an event that was just kept, whatever else it wants; the delivery's id."""
    row = {"workspace": endpoint.workspace_id, "endpoint": endpoint.id, "event": event.id, "now": now}
    made: UUID = (await session.execute(_OWE_ONE, row)).scalar_one()
    session.info["recorded"] = True
    return made


async def owe_again(
    session: AsyncSession, endpoint: Endpoint, types: Sequence[str], since: datetime, now: datetime
) -> int:
    """Has an endpoint told of whatever of these types happened since and didn't reach it: what was given up, and what
    happened while it was told nothing. How many that are."""
    row = {
        "workspace": endpoint.workspace_id, "endpoint": endpoint.id, "types": list(types), "parts": endpoint.parts,
        "since": since, "now": now,
    }  # fmt: skip
    return _wake(session, await session.execute(_OWE_AGAIN, row))


def _wake(session: AsyncSession, made: Any) -> int:
    if made.rowcount:
        session.info["recorded"] = True
    return int(made.rowcount)


_OWE = text(f"""{_OWED}
    FROM unnest(cast(:ids AS uuid[]), cast(:patterns AS text[])) AS told (id, patterns)
    JOIN happening h ON h.workspace_id = :workspace AND h.id = told.id
    JOIN endpoint e ON e.workspace_id = :workspace AND e.state = 'active' AND h.part = ANY(e.parts)
        AND e.types && string_to_array(told.patterns, ' ')
    ORDER BY h.position
""")
_OWE_ONE = text(f"""{_OWED}
    FROM endpoint e JOIN happening h ON h.workspace_id = e.workspace_id AND h.id = :event
    WHERE e.workspace_id = :workspace AND e.id = :endpoint RETURNING id
""")
# What was given up is told anew; what waits or was taken stays as it is.
_OWE_AGAIN = text(f"""{_OWED}
    FROM endpoint e JOIN happening h ON h.workspace_id = e.workspace_id
    WHERE e.workspace_id = :workspace AND e.id = :endpoint AND h.occurred_at >= :since
        AND h.type = ANY(cast(:types AS text[])) AND h.part = ANY(cast(:parts AS text[]))
    ORDER BY h.position
    ON CONFLICT (workspace_id, endpoint_id, happening_id) DO UPDATE
    SET state = 'waiting', attempts = 0, due_at = :now, leased_until = NULL
    WHERE webhook_delivery.state = 'given_up'
""")  # noqa: S608  # of constants


async def lease(session: AsyncSession, places: Places, now: datetime) -> Sequence[Any]:
    """What this process may tell next, for as long as the lease holds (worker transaction).

    Of a subject, what is due is told one after the other; what failed is told again later, and holds nothing back. A
    leased event holds back the later ones of its subject, which only a committed lease can: so leases are taken one
    process at a time.
    """
    await session.execute(_ALONE)
    leased = (await session.execute(_LEASE, _room(places, now))).all()
    return sorted(leased, key=lambda each: (each.due_at, each.position))


def _room(places: Places, now: datetime) -> dict[str, Any]:
    known = places.free_by_endpoint()
    return {
        "now": now, "until": now + LEASE, "most": places.free, "most_slow": places.free_for_slow,
        "known": list(known), "free": list(known.values()), "quick": [each in places.quick for each in known],
    }  # fmt: skip


# A plan that was made while the table was small would read all of it at each step, so no plan may read a whole table.
_ALONE = text("""
    SELECT pg_advisory_xact_lock(hashtextextended('webhooks', 0)), set_config('enable_seqscan', 'off', true),
           set_config('enable_bitmapscan', 'off', true)
""")
# Goes from one endpoint that something waits for to the next, and looks at the first few of each that are due: so it
# costs the same however many wait, nothing for those that are owed nothing, and a step where nothing is due yet.
_LEASE = text("""
    WITH RECURSIVE owed AS (
        (SELECT workspace_id, endpoint_id, due_at FROM webhook_delivery WHERE state = 'waiting'
         ORDER BY workspace_id, endpoint_id, due_at LIMIT 1)
        UNION ALL
        SELECT next.workspace_id, next.endpoint_id, next.due_at FROM owed CROSS JOIN LATERAL (
            SELECT workspace_id, endpoint_id, due_at FROM webhook_delivery
            WHERE state = 'waiting' AND (workspace_id, endpoint_id) > (owed.workspace_id, owed.endpoint_id)
            ORDER BY workspace_id, endpoint_id, due_at LIMIT 1
        ) AS next
    ), found AS (
        SELECT d.*, coalesce(k.quick, false) AS quick
        FROM owed
        JOIN endpoint e ON e.workspace_id = owed.workspace_id AND e.id = owed.endpoint_id AND e.state = 'active'
        JOIN workspace w ON w.workspace_id = e.workspace_id AND w.state = 'active'
        LEFT JOIN unnest(cast(:known AS uuid[]), cast(:free AS int[]), cast(:quick AS boolean[])) AS k (id, free, quick)
            ON k.id = e.id
        CROSS JOIN LATERAL (
            SELECT f.workspace_id, f.id, f.due_at, f.position FROM (
                SELECT * FROM webhook_delivery
                WHERE workspace_id = e.workspace_id AND endpoint_id = e.id AND state = 'waiting' AND due_at <= :now
                ORDER BY due_at, position LIMIT 50
            ) AS f
            WHERE (f.leased_until IS NULL OR f.leased_until <= :now) AND NOT EXISTS (
                SELECT FROM webhook_delivery b
                WHERE b.workspace_id = e.workspace_id AND b.endpoint_id = e.id AND b.state = 'waiting'
                    AND b.subject = f.subject AND b.position < f.position AND b.due_at <= :now
            )
            ORDER BY f.due_at, f.position LIMIT coalesce(k.free, 1)
        ) AS d
        WHERE owed.due_at <= :now
    ), placed AS (
        SELECT *, row_number() OVER (PARTITION BY quick ORDER BY due_at, position) AS place FROM found
    ), chosen AS (
        SELECT workspace_id, id FROM placed WHERE quick OR place <= :most_slow ORDER BY due_at, position LIMIT :most
    )
    UPDATE webhook_delivery d SET leased_until = :until
    FROM chosen, endpoint e, happening h
    WHERE (d.workspace_id, d.id) = (chosen.workspace_id, chosen.id)
        AND (e.workspace_id, e.id) = (d.workspace_id, d.endpoint_id)
        AND (h.workspace_id, h.id) = (d.workspace_id, d.happening_id)
        AND d.state = 'waiting' AND (d.leased_until IS NULL OR d.leased_until <= :now)
    RETURNING d.workspace_id, d.id, d.endpoint_id, d.attempts, d.due_at, d.position, d.leased_until,
        e.url, e.secret, e.old_secret, e.old_secret_ends_at,
        h.id AS event_id, h.type, h.part, h.subject, h.data, h.occurred_at, h.trace
""")


async def settle(session: AsyncSession, row: Any, now: datetime, **noted: Any) -> bool:
    """Notes what became of an attempt; False when the lease was over and another's word holds."""
    noted = {"last_status": None, "last_error": None, "due_at": None, "delivered_at": None, **noted}
    noted |= {"leased_until": None, "attempts": row.attempts + 1, "attempted_at": now}
    return await _change(session, row, **noted)


async def let_go(session: AsyncSession, row: Any) -> None:
    """Gives back what was leased and never answered: whoever starts next needn't wait for the lease to end."""
    await _change(session, row, leased_until=None)


async def _change(session: AsyncSession, row: Any, **values: Any) -> bool:
    names = ", ".join(f"{name} = :{name}" for name in values)
    changed = await session.scalar(
        text(f"""UPDATE webhook_delivery SET {names}
                 WHERE id = :id AND state = 'waiting' AND leased_until = :mine RETURNING 1""").bindparams(  # noqa: S608
            *(bindparam(name) for name in values)
        ),
        {**values, "id": row.id, "mine": row.leased_until},
    )
    return changed is not None


async def note_success(session: AsyncSession, endpoint_id: UUID) -> None:
    """Not an edit of the endpoint: neither its version nor the audit log tells of it."""
    await session.execute(
        text("UPDATE endpoint SET failing_since = NULL WHERE id = :id AND failing_since IS NOT NULL"),
        {"id": endpoint_id},
    )


async def note_failure(session: AsyncSession, endpoint_id: UUID, now: datetime) -> Any:
    """The endpoint's state, and since when it has failed; None when there is none any more."""
    noted = text("""UPDATE endpoint SET failing_since = coalesce(failing_since, :now) WHERE id = :id
                    RETURNING state, failing_since""")
    return (await session.execute(noted, {"id": endpoint_id, "now": now})).one_or_none()


async def again(session: AsyncSession, delivery: Delivery, now: datetime) -> None:
    """Has it told once more, as if it had never been tried."""
    delivery.state, delivery.attempts, delivery.due_at = DeliveryState.WAITING, 0, now
    delivery.leased_until = delivery.delivered_at = None
    await session.flush()
    session.info["recorded"] = True
