"""Decides how people are found by their address, and their address by their id."""

from collections.abc import Collection, Mapping
from uuid import UUID, uuid4

from pydantic import SecretStr
from sqlalchemy import ARRAY, LargeBinary, bindparam, func, literal_column, text, true
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from chassis.db import workspace_of
from chassis.secrets import keyed_hash, subkey
from services.metrics.recipient.models import Recipient


def address_key(secret_key: SecretStr, workspace_id: UUID) -> bytes:
    """The key of a workspace's address hashes: equal addresses of two workspaces don't look alike."""
    return subkey(secret_key, f"recipient:{workspace_id}")


async def recipient_ids(session: AsyncSession, key: bytes, addresses: Collection[str]) -> Mapping[str, UUID]:
    """The id of each address, made where there is none yet."""
    hashes = {keyed_hash(key, address): address for address in addresses}
    found = await _known(session, list(hashes))
    missing = sorted(hashes.keys() - found.keys())
    if missing:
        await session.execute(
            text("""
                INSERT INTO recipient (workspace_id, id, address, address_hash)
                SELECT :workspace, each.id, each.address, each.hash
                FROM unnest(cast(:ids AS uuid[]), cast(:addresses AS text[]), cast(:hashes AS bytea[]))
                    AS each(id, address, hash)
                ORDER BY each.hash  -- one order for all writers, or they deadlock
                ON CONFLICT DO NOTHING
            """),
            {
                "workspace": workspace_of(session), "ids": [uuid4() for _ in missing],
                "addresses": [hashes[each] for each in missing], "hashes": missing,
            },
        )  # fmt: skip
        # Read again instead of RETURNING: what a concurrent writer made first isn't returned.
        found |= await _known(session, missing)
    return {hashes[each]: recipient_id for each, recipient_id in found.items()}


_EACH = func.unnest(bindparam("hashes", type_=ARRAY(LargeBinary))).column_valued("each")
# Search by search, as OFFSET has it: with statistics of before the people came, the planner would rather read all of a
# workspace's.
_FOUND = (
    select(Recipient.id)
    .where(col(Recipient.workspace_id) == bindparam("workspace"), col(Recipient.address_hash) == _EACH)
    .offset(literal_column("0"))
    .lateral()
)
_KNOWN = select(_EACH, _FOUND.c.id).join(_FOUND, true())


async def _known(session: AsyncSession, hashes: list[bytes]) -> dict[bytes, UUID]:
    rows = await session.execute(_KNOWN, {"workspace": workspace_of(session), "hashes": hashes})
    return {row.each: row.id for row in rows}
