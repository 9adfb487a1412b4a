"""Decides who may say who stands in for whom."""

from uuid import UUID

from fastapi import APIRouter

from chassis.answers import page, read_row
from chassis.db import Now, Reading, Session, add_row, get_row, workspace_of
from chassis.errors import Forbidden, Invalid
from chassis.idempotency import IdempotentRoute
from chassis.identity import CurrentPrincipal, scope
from chassis.listing import Fields, Listing, fields_of, listing
from chassis.paging import Page
from services.budget.delegation.models import Delegation, DelegationCreate, DelegationRead

router = APIRouter(route_class=IdempotentRoute, tags=["delegations"])


@router.post("/v1/delegations", status_code=201, dependencies=[scope("budget:approve")])
async def create_delegation(
    create: DelegationCreate, session: Session, who: CurrentPrincipal, now: Now
) -> DelegationRead:
    """Lets somebody decide in an approver's place for some days. Nobody's own requests, and not those of the absent.
    403 `four_eyes` to who would appoint themselves."""
    if create.absent == create.stand_in:
        raise Invalid.field("stand_in", "somebody else than who is absent", "the_same")
    if create.stand_in == who.subject:
        raise Forbidden("nobody appoints themselves: the absent or somebody else does", code="four_eyes")
    row = {"workspace_id": workspace_of(session), "created_by": who.subject, "created_at": now}
    delegation = Delegation.model_validate(create.columns() | row)
    await add_row(session, delegation)
    return DelegationRead.of(delegation)


@router.get("/v1/delegations/{id}", dependencies=[scope("budget:read")])
async def get_delegation(id: UUID, reading: Reading, fields: Fields = fields_of(DelegationRead)) -> DelegationRead:
    """One delegation."""
    return await read_row(reading, Delegation, id, DelegationRead, fields)


@router.get("/v1/delegations", dependencies=[scope("budget:read")])
async def list_delegations(
    reading: Reading,
    asked: Listing[DelegationRead] = listing(Delegation, DelegationRead, by=("absent", "stand_in")),
) -> Page[DelegationRead]:
    """Who stands in for whom, past ones too; the oldest first unless sorted otherwise."""
    return await page(reading, asked)


@router.post("/v1/delegations/{id}/remove", dependencies=[scope("budget:approve")])
async def remove_delegation(id: UUID, session: Session) -> DelegationRead:
    """Ends it now. Answers with what it was."""
    delegation = await get_row(session, Delegation, id, lock=True)
    await session.delete(delegation)
    await session.flush()
    return DelegationRead.of(delegation)
