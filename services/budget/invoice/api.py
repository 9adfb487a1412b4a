"""Decides what callers can do with invoices."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter

from chassis.answers import listed, of_row, read_row
from chassis.db import Now, Reading, Session, add_row, workspace_of
from chassis.editing import IfMatch, held
from chassis.errors import Conflict, Forbidden, Invalid
from chassis.fields import Money
from chassis.idempotency import IdempotentRoute
from chassis.identity import CurrentPrincipal, scope
from chassis.listing import Fields, Listing, Parent, fields_of, listing
from chassis.paging import Groups, Page
from services.budget.invoice.actions import match, post, reverse
from services.budget.invoice.models import AcceptanceCreate, Invoice, InvoiceCreate, InvoiceRead, InvoiceRebooking
from services.budget.invoice.rules import ACCEPTABLE, InvoiceState, assert_can_become
from services.budget.plan import store as plan
from services.budget.request.models import SpendRequest

router = APIRouter(route_class=IdempotentRoute, tags=["invoices"])

DERIVED: Any = {
    "amount": of_row(lambda invoice: Money.of_minor(invoice.amount, invoice.currency)),
    "date": of_row(lambda invoice: invoice.dated),
}


def _read(invoice: Invoice) -> InvoiceRead:
    return InvoiceRead.of(invoice, amount=Money.of_minor(invoice.amount, invoice.currency), date=invoice.dated)


async def _check(session: Session, line_id: UUID | None, request_id: UUID | None) -> SpendRequest | None:
    if line_id is not None and not await plan.is_line(session, line_id):
        raise Invalid.field("line_id", f"no line {line_id}", "unknown")
    if request_id is None:
        return None
    request = await session.get(SpendRequest, (workspace_of(session), request_id))
    if request is None:
        raise Invalid.field("request_id", f"no request {request_id}", "unknown")
    return request


@router.post("/v1/invoices", status_code=201, dependencies=[scope("budget:write")])
async def create_invoice(create: InvoiceCreate, session: Session, who: CurrentPrincipal, now: Now) -> InvoiceRead:
    """Takes an invoice in and holds it against its order. It is `matched`, or an `exception` that says why; without an
    order it is `received`. A vendor's number comes in once: 409 `already_exists`."""
    if create.amount.minor <= 0:
        raise Invalid.field("amount.amount", "must be more than zero", "not_positive")
    request = await _check(session, create.line_id, create.request_id)
    row = {
        "workspace_id": workspace_of(session), "line_id": create.line_id, "request_id": create.request_id,
        "vendor": create.vendor or (request and request.vendor) or "", "number": create.number,
        "currency": create.amount.currency, "amount": create.amount.minor, "dated": create.date,
        "received_by": who.subject, "received_at": now,
    }  # fmt: skip
    invoice = Invoice.model_validate(row)
    await add_row(session, invoice)
    await match(session, invoice, now)
    return _read(invoice)


@router.get("/v1/invoices/{id}", dependencies=[scope("budget:read")])
async def get_invoice(id: UUID, reading: Reading, fields: Fields = fields_of(InvoiceRead)) -> InvoiceRead:
    """One invoice."""
    return await read_row(reading, Invoice, id, InvoiceRead, fields, **DERIVED)


@router.get("/v1/invoices", dependencies=[scope("budget:read")])
async def list_invoices(
    reading: Reading,
    asked: Listing[InvoiceRead] = listing(
        Invoice, InvoiceRead, sort=("dated", "received_at"), by=("state", "problem", "vendor", "dated", "received_at"),
        parents={"line_id": Parent(Invoice.line_id), "request_id": Parent(Invoice.request_id)},
        called={"dated": "date"},
    ),
) -> Page[InvoiceRead] | Groups[InvoiceRead]:  # fmt: skip
    """Invoices that fit every filter, the oldest first unless sorted otherwise."""
    return await listed(reading, asked, **DERIVED)


@router.post("/v1/invoices/{id}/post", dependencies=[scope("budget:approve")])
async def post_invoice(id: UUID, if_match: IfMatch, session: Session, who: CurrentPrincipal, now: Now) -> InvoiceRead:
    """Counts it as spent, in the currency of its line at the rate of its date; once. What its order had committed for
    it is no longer. Where something is in the way it answers with `state` exception and the `problem`, and moves
    nothing."""
    invoice = await held(session, Invoice, id, if_match)
    assert_can_become(invoice.state, InvoiceState.POSTED)
    await post(session, invoice, who.subject, now)
    return _read(invoice)


@router.post("/v1/invoices/{id}/accept", dependencies=[scope("budget:approve")])
async def accept_invoice(
    id: UUID, create: AcceptanceCreate, if_match: IfMatch, session: Session, who: CurrentPrincipal, now: Now
) -> InvoiceRead:
    """Lets an exception pass, with a reason, and posts it, unless there is another: each is let pass by itself. 409
    `not_acceptable` for what can't be; a `stop` line has to have the money all the same."""
    invoice = await held(session, Invoice, id, if_match)
    if invoice.state is not InvoiceState.EXCEPTION:
        raise Conflict(f"the invoice is {invoice.state}", code="not_an_exception")
    if invoice.received_by == who.subject:
        raise Forbidden("somebody else than who brought it in lets it pass", code="four_eyes")
    if invoice.problem not in ACCEPTABLE:
        raise Conflict(f"{invoice.problem} can't be let pass: rebook or reject it", code="not_acceptable")
    invoice.accepted_by, invoice.reason = who.subject, create.reason
    invoice.accepted = [*invoice.accepted, invoice.problem]
    await post(session, invoice, who.subject, now)
    return _read(invoice)


@router.post("/v1/invoices/{id}/rebook", dependencies=[scope("budget:write")])
async def rebook_invoice(
    id: UUID, change: InvoiceRebooking, if_match: IfMatch, session: Session, now: Now
) -> InvoiceRead:
    """Puts it on another line, to another order (null: to none) or on another day, and matches it anew."""
    invoice = await held(session, Invoice, id, if_match)
    assert_can_become(invoice.state, InvoiceState.RECEIVED)
    await _check(session, change.line_id, change.request_id)
    invoice.line_id = change.line_id or invoice.line_id
    if "request_id" in change.model_fields_set:
        invoice.request_id = change.request_id
    invoice.dated, invoice.accepted_by, invoice.accepted = change.date or invoice.dated, None, []
    await match(session, invoice, now)
    return _read(invoice)


@router.post("/v1/invoices/{id}/reject", dependencies=[scope("budget:approve")])
async def reject_invoice(
    id: UUID, create: AcceptanceCreate, if_match: IfMatch, session: Session, now: Now
) -> InvoiceRead:
    """Refuses it for good; it never counts."""
    invoice = await held(session, Invoice, id, if_match)
    assert_can_become(invoice.state, InvoiceState.REJECTED)
    invoice.state, invoice.reason, invoice.ended_at = InvoiceState.REJECTED, create.reason, now
    await session.flush()
    return _read(invoice)


@router.post("/v1/invoices/{id}/reverse", dependencies=[scope("budget:approve")])
async def reverse_invoice(
    id: UUID, create: AcceptanceCreate, if_match: IfMatch, session: Session, who: CurrentPrincipal, now: Now
) -> InvoiceRead:
    """Takes back what was posted, by entries of today, whatever period it was in; its order is open again."""
    invoice = await held(session, Invoice, id, if_match)
    assert_can_become(invoice.state, InvoiceState.REVERSED)
    await reverse(session, invoice, who.subject, now, create.reason)
    return _read(invoice)
