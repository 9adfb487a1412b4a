"""Decides how all that an import posted is taken back: by entries of today, as everything in the ledger is, chunk by
chunk; what a line can't give back stays posted and says why."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import get_row
from chassis.errors import MopsError
from chassis.fields import new_id
from services.budget.invoice import actions as invoices
from services.budget.invoice.models import Invoice
from services.budget.invoice.rules import InvoiceState
from services.budget.ledger import store as ledger
from services.budget.ledger.actions import today_of
from services.budget.ledger.booking import Booking, book
from services.budget.ledger.rules import Amounts, EntryKind, Leg
from services.budget.statement import store
from services.budget.statement.models import Statement
from services.budget.statement.posting import lock_money
from services.budget.statement.rules import RowOutcome, words

OVER = (InvoiceState.REVERSED, InvoiceState.REJECTED)


async def undo_rows(session: AsyncSession, statement: Statement, rows: Sequence[Any], now: datetime) -> Counter[str]:
    """Takes back what was posted for these rows, and rejects invoices that only wait."""
    who, reason = statement.undone_by or "", statement.reason or ""
    by_invoice = [row for row in rows if row.invoice_id]
    direct = {row.id: row for row in rows if not row.invoice_id}
    kept: dict[UUID, str] = {}
    ids = [row.invoice_id for row in by_invoice]
    orders = [row.request_id for row in await store.lock_invoices(session, ids) if row.request_id]
    await lock_money(session, orders, [row.line_id for row in rows])
    for row in by_invoice:
        try:
            async with session.begin_nested():
                await _end(session, await get_row(session, Invoice, row.invoice_id, lock=True), who, now, reason)
        except MopsError as problem:
            kept[row.id] = problem.code
    kept |= await _take_back(session, statement, list(direct), who, now, reason)
    await store.settle_rows(
        session,
        [
            {
                "id": row.id, "outcome": row.outcome if row.id in kept else RowOutcome.UNDONE,
                "code": kept.get(row.id), "message": words(kept[row.id]) if row.id in kept else None,
                "spent": row.spent, "worth": row.worth, "counts": row.id in kept,
            }
            for row in rows
        ],
    )  # fmt: skip
    undone = [row.outcome for row in rows if row.id not in kept]
    posted = undone.count(RowOutcome.POSTED)
    return Counter(undone=len(undone), posted=-posted, exceptions=posted - len(undone))


async def _end(session: AsyncSession, invoice: Invoice, who: str, now: datetime, reason: str) -> None:
    if invoice.state is InvoiceState.POSTED:
        await invoices.reverse(session, invoice, who, now, reason)
    elif invoice.state not in OVER:
        invoice.state, invoice.reason, invoice.ended_at = InvoiceState.REJECTED, reason, now
        await session.flush()


async def _take_back(
    session: AsyncSession, statement: Statement, row_ids: Sequence[UUID], who: str, now: datetime, reason: str
) -> dict[UUID, str]:
    """By the row's id, why what it took stays taken. A row's entry has its id."""
    today = await today_of(session, now)
    bookings = {
        new_id(): Booking(
            new_id(), Leg(entry.line_id, Amounts(actual=-entry.actual), ledger.original_of(entry, -1)), today, reason,
            entry.id,
        )
        for entry in await ledger.entries_by_id(session, row_ids)
    }  # fmt: skip
    refused = await book(session, EntryKind.REVERSE, list(bookings.values()), who=who, now=now, subject_id=statement.id)
    return {each.reverses: refused[each.id] for each in bookings.values() if each.id in refused and each.reverses}
