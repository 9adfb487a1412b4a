"""Decides what callers can do with contracts."""

from datetime import date
from uuid import UUID

from fastapi import APIRouter
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.answers import listed, page_of, read_row
from chassis.db import Now, Reading, Session, add_row, workspace_of
from chassis.editing import IfMatch, edited, held
from chassis.idempotency import IdempotentRoute
from chassis.identity import CurrentPrincipal, scope
from chassis.listing import Cursor, Fields, Limit, Listing, Parent, fields_of, listing
from chassis.paging import Groups, Page, decode_cursor, encode_cursor
from services.budget.contract import store
from services.budget.contract.actions import follow_dates
from services.budget.contract.models import (
    Contract,
    ContractCreate,
    ContractPatch,
    ContractRead,
    Overlap,
)
from services.budget.contract.rules import (
    ContractState,
    assert_cost,
    assert_editable,
    assert_terms,
    assert_terms_open,
    state_after_edit,
)
from services.budget.vendor.rules import assert_may_sign
from services.budget.vendor.store import named_vendor

router = APIRouter(route_class=IdempotentRoute, tags=["contracts"])


async def _check(session: AsyncSession, wanted: ContractCreate) -> None:
    """Invalid, naming the field, unless costs are amounts that can be kept, in the currency of the line that pays."""
    expected, whose = wanted.cost.currency, "the cost"
    if wanted.line_id is not None:
        expected, whose = (await store.paying_line(session, wanted.line_id)).currency, "the line"
    assert_cost("cost", wanted.cost.minor, wanted.cost.currency, expected, whose)
    if wanted.renewal_cost is not None:
        assert_cost("renewal_cost", wanted.renewal_cost.minor, wanted.renewal_cost.currency, expected, whose)


@router.post("/v1/contracts", status_code=201, dependencies=[scope("budget:write")])
async def create_contract(create: ContractCreate, session: Session, who: CurrentPrincipal, now: Now) -> ContractRead:
    """Takes a contract in as it runs now; a term that is over is refused. Whatever its dates say happens at once: the
    notice window may be open already, and the renewal's cost be reserved on its line. 409 `blocked` where the vendor
    is."""
    assert_may_sign((await named_vendor(session, create.vendor_id)).status)
    await _check(session, create)
    columns = create.columns() | {"vendor_id": create.vendor_id, "state": ContractState.ACTIVE}
    contract = Contract.model_validate(
        {**columns, "due_on": None, "workspace_id": workspace_of(session), "created_at": now}
    )
    assert_terms(contract.terms, await store.today_of(session, now))
    await add_row(session, contract)
    await follow_dates(session, contract, who.subject, now)
    return ContractRead.of(contract)


@router.get("/v1/contracts/{id}", dependencies=[scope("budget:read")])
async def get_contract(id: UUID, reading: Reading, fields: Fields = fields_of(ContractRead)) -> ContractRead:
    """One contract. What of it is wasted is its seat waste."""
    return await read_row(reading, Contract, id, ContractRead, fields)


@router.get("/v1/contracts", dependencies=[scope("budget:read")])
async def list_contracts(
    reading: Reading,
    asked: Listing[ContractRead] = listing(
        Contract,
        ContractRead,
        sort=("name", "notice_deadline", "term_end", "created_at"),
        by=("category", "department", "state", "notice_deadline", "term_end", "created_at"),
        parents={
            "vendor_id": Parent(Contract.vendor_id),
            "line_id": Parent(Contract.line_id),
            "campaign_id": Parent(Contract.campaign_id),
        },
    ),
) -> Page[ContractRead] | Groups[ContractRead]:
    """Contracts, the oldest first unless sorted otherwise. A calendar of deadlines:
    `notice_deadline_from`, `notice_deadline_to` and `sort=notice_deadline`. With `limit_per`: so many for each vendor,
    line or campaign, whichever is named first."""
    return await listed(reading, asked)


@router.patch("/v1/contracts/{id}", dependencies=[scope("budget:write")])
async def update_contract(
    id: UUID, patch: ContractPatch, if_match: IfMatch, session: Session, who: CurrentPrincipal, now: Now
) -> ContractRead:
    """Changes what is sent and leaves the rest. Dates that move take effect at once, and so does what is reserved. 409
    `decided` for terms under a decision that rests on them, `over` once the contract has ended."""
    contract = await held(session, Contract, id, if_match)
    today: date = await store.today_of(session, now)
    before = contract.terms
    assert_editable(contract.state, before, today)
    wanted = edited(ContractCreate, ContractRead.of(contract), patch)
    await _check(session, wanted)
    columns = wanted.columns()
    if (columns["term_start"], columns["term_end"]) == (before.start, before.end):
        # A term that has turned keeps the day that it turns on, which its own two days no longer tell.
        columns["turns_on"] = before.turns_on
    contract.sqlmodel_update({name: value for name, value in columns.items() if name != "vendor_id"})
    if contract.terms != before:
        assert_terms_open(contract.state)
        assert_terms(contract.terms, today)
        contract.state = state_after_edit(contract.state, contract.terms, today)
        if today < contract.terms.deadline:
            contract.missed_at = None
    if session.is_modified(contract):
        await session.flush()
        await follow_dates(session, contract, who.subject, now)
    return ContractRead.of(contract)


@router.get("/v1/overlaps", dependencies=[scope("budget:read")])
async def list_overlaps(
    reading: Reading,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[Overlap]:
    """Categories in which tools of several vendors go on, by name."""
    after = decode_cursor(cursor, "category", [str])[0] if cursor else ""
    found = list(await store.overlaps(reading, after, limit + 1))
    more = encode_cursor("category", found[limit - 1].category) if len(found) > limit else None
    return page_of(Overlap, found[:limit], more)
