"""Decides how vendors are read and written."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import workspace_of
from chassis.errors import Invalid
from chassis.reading import Source
from services.budget.person import store as people
from services.budget.person.models import Contact
from services.budget.vendor.models import Vendor


async def named_vendor(session: AsyncSession, vendor_id: UUID) -> Vendor:
    """The vendor that something names, which isn't removed meanwhile; Invalid, naming `vendor_id`, when there is
    none."""
    vendor = await session.get(Vendor, (workspace_of(session), vendor_id), with_for_update={"read": True})
    if vendor is None:
        raise Invalid.field("vendor_id", f"no vendor {vendor_id}", "unknown")
    return vendor


async def hangs_on(session: AsyncSession, vendor_id: UUID) -> tuple[int, int]:
    """How many contracts and obligations name a vendor."""
    found = await session.execute(
        text("""
            SELECT (SELECT count(*) FROM contract WHERE workspace_id = :workspace AND vendor_id = :id) AS contracts,
                (SELECT count(*) FROM obligation WHERE workspace_id = :workspace AND vendor_id = :id) AS obligations
        """),
        {"workspace": workspace_of(session), "id": vendor_id},
    )
    row = found.one()
    return row.contracts, row.obligations


async def contacts_of(source: Source, vendors: Sequence[Any]) -> Mapping[UUID, Contact]:
    """Each vendor's contact."""
    wanted = {vendor.contact_id for vendor in vendors} - {None}
    found = await people.contacts_of(source, wanted) if wanted else {}
    return {vendor.id: found[vendor.contact_id] for vendor in vendors if vendor.contact_id in found}
