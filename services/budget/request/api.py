"""Decides what callers can do with requests for money."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from chassis.answers import listed, read_of, read_row
from chassis.db import Now, Reading, Session, add_row, workspace_of
from chassis.editing import IfMatch, Match, edited, held
from chassis.errors import Conflict, Invalid
from chassis.fields import UtcDatetime
from chassis.idempotency import IdempotentRoute
from chassis.identity import CurrentPrincipal, Principal, scope
from chassis.listing import Fields, Listing, Parent, fields_of, listing
from chassis.paging import Groups, Page
from chassis.telemetry import leaving
from services.budget.plan import store as plan
from services.budget.request import store
from services.budget.request.actions import end, place_order, submit
from services.budget.request.deciding import Ask
from services.budget.request.fit import fit_of
from services.budget.request.models import (
    Decision,
    DecisionDelay,
    DecisionDelays,
    DecisionRead,
    Fit,
    OrderCreate,
    ReceiptCreate,
    RejectionCreate,
    SpendRequest,
    SpendRequestCreate,
    SpendRequestPatch,
    SpendRequestRead,
)
from services.budget.request.reading import DERIVED
from services.budget.request.rules import RequestState, RequestVerdict, assert_receivable
from services.budget.request.together import Together, acting_for

router = APIRouter(route_class=IdempotentRoute, tags=["requests"])


async def _named(id: UUID, if_match: IfMatch, session: Session) -> SpendRequest:
    return await held(session, SpendRequest, id, if_match)


# The request that is to change, as the caller has seen it, and held until it has.
Named = Annotated[SpendRequest, Depends(_named)]


async def _read(session: Session, request: SpendRequest) -> SpendRequestRead:
    return await read_of(session, SpendRequestRead, request, **DERIVED)


async def _lines(session: Session, create: SpendRequestCreate) -> str:
    """The department that it is for; Invalid, naming the field, where a line isn't there."""
    for place, part in enumerate(create.items):
        if not await plan.is_line(session, part.line_id):
            raise Invalid.field(f"items.{place}.line_id", f"no line {part.line_id}", "unknown")
    if not await plan.is_line(session, create.line_id):
        raise Invalid.field("line_id", f"no line {create.line_id}", "unknown")
    return (await plan.get_line(session, create.line_id)).department


@router.post("/v1/requests", status_code=201, dependencies=[scope("budget:write")])
async def create_spend_request(
    create: SpendRequestCreate, session: Session, who: CurrentPrincipal, now: Now
) -> SpendRequestRead:
    """Drafts a request. Nothing is held for it before it is approved."""
    department = await _lines(session, create)
    row = {"workspace_id": workspace_of(session), "requested_by": who.subject, "created_at": now}
    request = SpendRequest.model_validate({**create.columns(), "department": department, **row})
    await add_row(session, request)
    await store.keep_items(session, request, create.parts())
    return await _read(session, request)


@router.post("/v1/requests/check", dependencies=[scope("budget:read")])
async def check_spend_request(create: SpendRequestCreate, reading: Reading, now: Now) -> Fit:
    """Does it fit? Whether it would, now, with the numbers of every line, and what else there is. Changes nothing."""
    return await fit_of(reading, create, now)


@router.get("/v1/requests/{id}", dependencies=[scope("budget:read")])
async def get_spend_request(
    id: UUID, reading: Reading, fields: Fields = fields_of(SpendRequestRead)
) -> SpendRequestRead:
    """One request."""
    return await read_row(reading, SpendRequest, id, SpendRequestRead, fields, **DERIVED)


@router.get("/v1/requests", dependencies=[scope("budget:read")])
async def list_spend_requests(
    reading: Reading,
    asked: Listing[SpendRequestRead] = listing(
        SpendRequest,
        SpendRequestRead,
        sort=("created_at", "amount"),
        by=("state", "department", "category", "requested_by", "vendor", "created_at", "submitted_at", "decided_at"),
        parents={"line_id": Parent(SpendRequest.line_id), "campaign_id": Parent(SpendRequest.campaign_id)},
    ),
) -> Page[SpendRequestRead] | Groups[SpendRequestRead]:
    """Requests that fit every filter, the oldest first unless sorted otherwise. With `limit_per`: so many for each line
    or campaign, whichever is named first."""
    return await listed(reading, asked, **DERIVED)


@router.patch("/v1/requests/{id}", dependencies=[scope("budget:write")])
async def update_spend_request(request: Named, patch: SpendRequestPatch, session: Session) -> SpendRequestRead:
    """Changes what is sent of a draft and leaves the rest. 409 `not_a_draft` later."""
    if request.state is not RequestState.DRAFT:
        raise Conflict(f"the request is {request.state}", code="not_a_draft")
    wanted = edited(SpendRequestCreate, await _read(session, request), patch)
    request.sqlmodel_update({**wanted.columns(), "department": await _lines(session, wanted)})
    await session.flush()
    await store.keep_items(session, request, wanted.parts())
    return await _read(session, request)


@router.post("/v1/requests/{id}/submit", dependencies=[scope("budget:write")])
async def submit_spend_request(request: Named, session: Session, who: CurrentPrincipal, now: Now) -> SpendRequestRead:
    """Asks for it. From now on it waits for the layers of approval that it falls into, at today's rate."""
    await submit(session, request, who.subject, now)
    return await _read(session, request)


@router.post("/v1/requests/{id}/approve", dependencies=[scope("budget:approve")], response_model=SpendRequestRead)
async def approve_spend_request(id: UUID, if_match: IfMatch, request: Request) -> Any:
    """Passes one layer of approval; the last one reserves the money. 403 `four_eyes` on one's own; 409 `does_not_fit`,
    with `available`, `asked`, `missing` and `currency`, when a line doesn't have it: then nothing was decided."""
    return await _decide(request, id, if_match, RequestVerdict.APPROVED)


@router.post("/v1/requests/{id}/reject", dependencies=[scope("budget:approve")], response_model=SpendRequestRead)
async def reject_spend_request(id: UUID, create: RejectionCreate, if_match: IfMatch, request: Request) -> Any:
    """Says no, whatever layers have said yes."""
    return await _decide(request, id, if_match, RequestVerdict.REJECTED, create.reason)


async def _decide(
    request: Request, id: UUID, if_match: Match, verdict: RequestVerdict, reason: str | None = None
) -> Response:
    state = request.app.state
    together: Together = state.together
    # The route's scope has found who calls; asked for as parameters, this and the time cost more than to decide.
    who: Principal = request.state.principal
    acting = acting_for(request, who.subject)
    ask = Ask(id, if_match, verdict, acting, state.clock(), reason, leaving().get("traceparent"))
    return await together.decide(who.workspace_id, request, ask)


@router.post("/v1/requests/{id}/commit", dependencies=[scope("budget:write")])
async def commit_spend_request(
    request: Named, session: Session, who: CurrentPrincipal, now: Now, order: OrderCreate | None = None
) -> SpendRequestRead:
    """Says that it is ordered: what was reserved is committed, under a purchase order number."""
    await place_order(session, request, order.po_number if order else None, who.subject, now)
    return await _read(session, request)


@router.post("/v1/requests/{id}/receive", dependencies=[scope("budget:write")])
async def receive_goods(request: Named, create: ReceiptCreate, session: Session) -> SpendRequestRead:
    """Says what of an order has arrived; where matching is three-way, no more than that may be invoiced."""
    assert_receivable(request.state, request.currency, create.amount.minor, create.amount.currency)
    request.received += create.amount.minor
    await session.flush()
    return await _read(session, request)


@router.post("/v1/requests/{id}/close", dependencies=[scope("budget:approve")])
async def close_spend_request(request: Named, session: Session, who: CurrentPrincipal, now: Now) -> SpendRequestRead:
    """Says that no more invoices come: what is still committed is available again."""
    await end(session, request, RequestState.CLOSED, who.subject, now)
    return await _read(session, request)


@router.post("/v1/requests/{id}/void", dependencies=[scope("budget:approve")])
async def void_spend_request(
    request: Named, create: RejectionCreate, session: Session, who: CurrentPrincipal, now: Now
) -> SpendRequestRead:
    """Takes it back before anything was invoiced: what is held for it is available again."""
    await end(session, request, RequestState.VOIDED, who.subject, now, create.reason)
    return await _read(session, request)


@router.get("/v1/decisions", dependencies=[scope("budget:read")])
async def list_decisions(
    reading: Reading,
    asked: Listing[DecisionRead] = listing(
        Decision, DecisionRead, sort=("decided_at",), by=("decided_by", "decided_at"),
        parents={"request_id": Parent(Decision.request_id)},
    ),
) -> Page[DecisionRead] | Groups[DecisionRead]:  # fmt: skip
    """Every decision on a layer of a request, the oldest first unless sorted otherwise."""
    return await listed(reading, asked)


Since = Annotated[UtcDatetime, Query(alias="from", description="Decided from then on.")]
Until = Annotated[UtcDatetime, Query(alias="to", description="And before.")]


@router.get("/v1/decision-delays", dependencies=[scope("budget:read")])
async def get_decision_delays(reading: Reading, since: Since, until: Until) -> DecisionDelays:
    """How long requests waited in each layer of approval: what each layer costs."""
    found: list[Any] = await store.delays(reading, since, until)
    return DecisionDelays(layers=[DecisionDelay.of(each) for each in found])
