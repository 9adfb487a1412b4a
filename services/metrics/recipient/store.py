"""Decides how people are found by their address, and their address by their id."""

from collections.abc import Collection
from uuid import UUID

from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import workspace_of
from chassis.secrets import keyed_hash, subkey

# Parts of a WITH: `people` has one row, whose `ids` are those of the addresses in $3 with the hashes in $2, in their
# order, made in workspace $1 where there is none yet. A concurrent writer may have made one meanwhile: then it is
# waited for and taken, which takes an update that changes nothing.
RESOLVE = """
    wanted AS MATERIALIZED (
        SELECT hash, address, place FROM unnest($2::bytea[], $3::text[]) WITH ORDINALITY AS each(hash, address, place)
    ), known AS MATERIALIZED (
        -- Search by search, as OFFSET has it: with statistics of before the people came, the planner would rather read
        -- all of a workspace's.
        SELECT w.place, r.id FROM wanted w CROSS JOIN LATERAL (
            SELECT id FROM recipient WHERE workspace_id = $1 AND address_hash = w.hash OFFSET 0
        ) AS r
    ), made AS (
        INSERT INTO recipient (workspace_id, id, address, address_hash)
        SELECT $1, gen_random_uuid(), w.address, w.hash FROM wanted w
        WHERE NOT EXISTS (SELECT FROM known k WHERE k.place = w.place)
        ORDER BY w.hash  -- one order for all writers, or they deadlock
        ON CONFLICT (workspace_id, address_hash) DO UPDATE SET address = excluded.address
        RETURNING address_hash, id
    ), people AS MATERIALIZED (
        SELECT array_agg(each.id ORDER BY each.place) AS ids FROM (
            SELECT place, id FROM known
            UNION ALL SELECT w.place, m.id FROM made m JOIN wanted w ON w.hash = m.address_hash
        ) AS each
    )
"""


def address_key(secret_key: SecretStr, workspace_id: UUID) -> bytes:
    """The key of a workspace's address hashes: equal addresses of two workspaces don't look alike."""
    return subkey(secret_key, f"recipient:{workspace_id}")


def hash_of(key: bytes, address: str) -> bytes:
    return keyed_hash(key, address)


async def keep_recipient(session: AsyncSession, address: str, address_hash: bytes) -> None:
    """Keeps an address, unless it is known."""
    await session.execute(
        text("""INSERT INTO recipient (workspace_id, id, address, address_hash)
                VALUES (:workspace, gen_random_uuid(), :address, :hash) ON CONFLICT DO NOTHING"""),
        {"workspace": workspace_of(session), "address": address, "hash": address_hash},
    )


def hashes_of(key: bytes, addresses: Collection[str]) -> list[bytes]:
    """The hash by which each address is found, in their order."""
    return [keyed_hash(key, address) for address in addresses]
