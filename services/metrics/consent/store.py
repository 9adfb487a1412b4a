"""Decides how receipts of consent are found."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from chassis.db import workspace_of
from chassis.reading import Source
from services.metrics.consent.models import Consent
from services.metrics.consent.rules import Receipt
from services.metrics.suppression.models import Suppression

_ADDRESSES = text("""
    SELECT c.id, r.address FROM consent c
    JOIN recipient r ON r.workspace_id = c.workspace_id AND r.address_hash = c.address_hash
    WHERE c.id = ANY(:ids)
""")


async def addresses_of(source: Source, ids: Sequence[UUID]) -> dict[UUID, str]:
    """The address of each, unless it is erased."""
    return dict((await source.execute(_ADDRESSES, {"ids": list(ids)})).all())


async def receipts_of(session: AsyncSession, address_hash: bytes) -> list[Receipt]:
    rows = await session.scalars(
        select(Consent).where(
            col(Consent.workspace_id) == workspace_of(session), col(Consent.address_hash) == address_hash
        )
    )
    return [Receipt(each.purpose, each.given, each.at, each.recorded_at) for each in rows]


async def suppressions_of(session: AsyncSession, address_hash: bytes) -> list[Suppression]:
    rows = await session.scalars(
        select(Suppression)
        .where(col(Suppression.workspace_id) == workspace_of(session), col(Suppression.address_hash) == address_hash)
        .order_by(col(Suppression.id))
    )
    return list(rows)


async def is_known(session: AsyncSession, address_hash: bytes) -> bool:
    found = text("SELECT EXISTS (SELECT FROM recipient WHERE workspace_id = :workspace AND address_hash = :hash)")
    return bool(await session.scalar(found, {"workspace": workspace_of(session), "hash": address_hash}))
