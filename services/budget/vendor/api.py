"""Decides what callers can do with vendors."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.answers import Derive, page, read_of, read_row
from chassis.db import Now, Reading, Session, add_row, workspace_of
from chassis.editing import IfMatch, edited, held
from chassis.idempotency import IdempotentRoute
from chassis.identity import CurrentPrincipal, Principal, scope
from chassis.listing import Fields, Listing, fields_of, listing
from chassis.paging import Page
from chassis.reading import Source
from services.budget.person import store as people
from services.budget.person.models import Contact
from services.budget.person.rules import PEOPLE
from services.budget.vendor import store
from services.budget.vendor.models import Vendor, VendorCreate, VendorPatch, VendorRead
from services.budget.vendor.rules import assert_removable

router = APIRouter(route_class=IdempotentRoute, tags=["vendors"])


async def _nobody(_: Source, __: Sequence[Any]) -> dict[UUID, Contact]:
    return {}


def _derived(who: Principal) -> Mapping[str, Derive]:
    """Names and addresses are for those with the scope for people's data."""
    return {"contact": store.contacts_of if PEOPLE in who.scopes else _nobody}


async def _person_of(request: Request, session: AsyncSession, contact: Contact | None) -> UUID | None:
    if contact is None:
        return None
    key = people.address_key(request.app.state.settings.secret_key, workspace_of(session))
    return await people.person_of(session, key, contact.address, contact.name)


@router.post("/v1/vendors", status_code=201, dependencies=[scope("budget:write")])
async def create_vendor(
    create: VendorCreate, request: Request, session: Session, who: CurrentPrincipal, now: Now
) -> VendorRead:
    """Takes a vendor in. 409 names `name` when there is one of that name."""
    columns = create.columns(await _person_of(request, session, create.contact))
    vendor = Vendor.model_validate({**columns, "workspace_id": workspace_of(session), "created_at": now})
    await add_row(session, vendor)
    return await read_of(session, VendorRead, vendor, **_derived(who))


@router.get("/v1/vendors/{id}", dependencies=[scope("budget:read")])
async def get_vendor(
    id: UUID, reading: Reading, who: CurrentPrincipal, fields: Fields = fields_of(VendorRead)
) -> VendorRead:
    """One vendor."""
    return await read_row(reading, Vendor, id, VendorRead, fields, **_derived(who))


@router.get("/v1/vendors", dependencies=[scope("budget:read")])
async def list_vendors(
    reading: Reading,
    who: CurrentPrincipal,
    asked: Listing[VendorRead] = listing(
        Vendor, VendorRead, sort=("name", "created_at"), by=("name", "status", "currency", "created_at")
    ),
) -> Page[VendorRead]:
    """Vendors, the oldest first unless sorted otherwise."""
    return await page(reading, asked, **_derived(who))


@router.patch("/v1/vendors/{id}", dependencies=[scope("budget:write")])
async def update_vendor(
    id: UUID, patch: VendorPatch, if_match: IfMatch, request: Request, session: Session, who: CurrentPrincipal
) -> VendorRead:
    """Changes what is sent and leaves the rest."""
    vendor = await held(session, Vendor, id, if_match)
    before = vendor.contact_id
    read = await read_of(session, VendorRead, vendor, contact=store.contacts_of)
    wanted = edited(VendorCreate, read, patch)
    contact_id = await _person_of(request, session, wanted.contact) if wanted.contact != read.contact else before
    vendor.sqlmodel_update(wanted.columns(contact_id))
    await session.flush()
    if before is not None and before != contact_id:
        await people.drop_unnamed(session, before)
    return await read_of(session, VendorRead, vendor, **_derived(who))


@router.post("/v1/vendors/{id}/remove", dependencies=[scope("budget:write")])
async def remove_vendor(id: UUID, if_match: IfMatch, session: Session, who: CurrentPrincipal) -> VendorRead:
    """Takes a vendor out that nothing was ever agreed with; answers with what it was. 409 `in_use` while contracts or
    obligations hang on it."""
    vendor = await held(session, Vendor, id, if_match)
    assert_removable(*await store.hangs_on(session, id))
    was = await read_of(session, VendorRead, vendor, **_derived(who))
    await session.delete(vendor)
    await session.flush()
    if vendor.contact_id is not None:
        await people.drop_unnamed(session, vendor.contact_id)
    return was
