"""Decides what callers can do with obligations."""

from uuid import UUID

from fastapi import APIRouter

from chassis.answers import listed, read_row
from chassis.db import Now, Reading, Session, add_row, workspace_of
from chassis.editing import IfMatch, edited, held
from chassis.errors import Invalid
from chassis.idempotency import IdempotentRoute
from chassis.identity import CurrentPrincipal, scope
from chassis.listing import Fields, Listing, Parent, fields_of, listing
from chassis.paging import Groups, Page
from services.budget.contract.store import named_contract
from services.budget.obligation.models import (
    Fulfilment,
    FulfilmentCreate,
    FulfilmentRead,
    Obligation,
    ObligationCreate,
    ObligationPatch,
    ObligationRead,
)
from services.budget.obligation.rules import assert_open, due_date
from services.budget.vendor.store import named_vendor

router = APIRouter(route_class=IdempotentRoute, tags=["obligations"])


@router.post("/v1/obligations", status_code=201, dependencies=[scope("budget:write")])
async def create_obligation(create: ObligationCreate, session: Session, now: Now) -> ObligationRead:
    """Notes something to comply with. The contract, if one is named, must be the vendor's."""
    vendor = await named_vendor(session, create.vendor_id)
    if create.contract_id is not None:
        contract = await named_contract(session, create.contract_id)
        if contract.vendor_id != vendor.id:
            raise Invalid.field("contract_id", "another vendor's", "not_the_vendors")
    row = {**create.columns(), "workspace_id": workspace_of(session), "created_at": now}
    obligation = Obligation.model_validate(row)
    await add_row(session, obligation)
    return ObligationRead.of(obligation)


@router.get("/v1/obligations/{id}", dependencies=[scope("budget:read")])
async def get_obligation(id: UUID, reading: Reading, fields: Fields = fields_of(ObligationRead)) -> ObligationRead:
    """One obligation."""
    return await read_row(reading, Obligation, id, ObligationRead, fields)


@router.get("/v1/obligations", dependencies=[scope("budget:read")])
async def list_obligations(
    reading: Reading,
    asked: Listing[ObligationRead] = listing(
        Obligation,
        ObligationRead,
        sort=("due", "created_at"),
        by=("owner", "due", "is_met", "created_at"),
        parents={"vendor_id": Parent(Obligation.vendor_id), "contract_id": Parent(Obligation.contract_id)},
    ),
) -> Page[ObligationRead] | Groups[ObligationRead]:
    """Obligations, the oldest first unless sorted otherwise. Overdue are those with `is_met=false` and `due_to` of the
    day after today."""
    return await listed(reading, asked)


@router.patch("/v1/obligations/{id}", dependencies=[scope("budget:write")])
async def update_obligation(id: UUID, patch: ObligationPatch, if_match: IfMatch, session: Session) -> ObligationRead:
    """Changes what is sent and leaves the rest."""
    obligation = await held(session, Obligation, id, if_match)
    wanted = edited(ObligationCreate, ObligationRead.of(obligation), patch)
    obligation.sqlmodel_update(wanted.model_dump(include={"words", "owner"}))
    await session.flush()
    return ObligationRead.of(obligation)


@router.post("/v1/obligations/{id}/fulfil", dependencies=[scope("budget:write")])
async def fulfil_obligation(
    id: UUID, create: FulfilmentCreate, if_match: IfMatch, session: Session, who: CurrentPrincipal, now: Now
) -> ObligationRead:
    """Says that it was met, and where that can be seen. What recurs is due again then. 409 `met` when nothing is left
    to do."""
    obligation = await held(session, Obligation, id, if_match)
    assert_open(is_met=obligation.is_met)
    fulfilment = {
        "workspace_id": workspace_of(session), "obligation_id": id, "due": obligation.due, "met_by": who.subject,
        "met_at": now, **create.model_dump(),
    }  # fmt: skip
    obligation.times_met += 1
    obligation.is_met = obligation.every_months is None
    obligation.due = due_date(obligation.first_due, obligation.every_months, obligation.times_met)
    obligation.tell_on = None if obligation.is_met else obligation.due
    await add_row(session, Fulfilment.model_validate(fulfilment))
    return ObligationRead.of(obligation)


@router.get("/v1/fulfilments", dependencies=[scope("budget:read")])
async def list_fulfilments(
    reading: Reading,
    asked: Listing[FulfilmentRead] = listing(
        Fulfilment,
        FulfilmentRead,
        sort=("met_at",),
        by=("met_at",),
        parents={"obligation_id": Parent(Fulfilment.obligation_id)},
    ),
) -> Page[FulfilmentRead] | Groups[FulfilmentRead]:
    """How obligations were met, the oldest first unless sorted otherwise."""
    return await listed(reading, asked)
