"""Decides how a chunk of rows is posted: what counts once is claimed first, orders become invoices, all else becomes
actual spending, and what a line doesn't take is an exception. A dry run does the same, and takes it back."""

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import add_row, workspace_of
from chassis.errors import MopsError
from chassis.fields import new_id
from services.budget.invoice import actions as invoices
from services.budget.invoice.models import Invoice
from services.budget.invoice.rules import InvoiceState
from services.budget.ledger import store as ledger
from services.budget.ledger.booking import Booking, book
from services.budget.ledger.rules import Amounts, EntryKind, Leg, Original
from services.budget.mapping.rules import Spent, Unreadable
from services.budget.policy.store import policy_of
from services.budget.statement import store
from services.budget.statement.finding import Target, find_targets
from services.budget.statement.models import Statement
from services.budget.statement.rehearsing import Rehearsal
from services.budget.statement.rules import RowOutcome, claim_of, words

# Rows of an ERP may share an invoice's number; so many can.
MOST_OF_A_NUMBER = 500


@dataclass(frozen=True)
class Item:
    """A row that can be read, with the id that it and its entry have, and where its money comes from."""

    id: UUID
    number: int
    spent: Spent
    target: Target

    @property
    def takes(self) -> int:
        """Of its line, in that one's currency; what an invoice takes is known when it is posted."""
        return self.target.rate.of(self.spent.minor) if self.target.rate else 0


@dataclass(frozen=True)
class Became:
    """What became of an item. `counts`: no other row that tells the same is taken after it."""

    outcome: RowOutcome
    code: str | None = None
    invoice_id: UUID | None = None
    spent: int | None = None
    worth: int | None = None
    counts: bool = True


async def post_rows(
    session: AsyncSession, statement: Statement, rows: Sequence[tuple[int, Spent | Unreadable]], who: str, now: datetime
) -> Counter[str]:
    """Posts what can be posted, writes down what became of every row, and counts it."""
    # Ids in the order of the file, so that a list by id is in it too.
    given = [(new_id(), number, said) for number, said in rows]
    told = [_bad(session, statement, key, number, said) for key, number, said in given if isinstance(said, Unreadable)]
    readable = [(key, number, said) for key, number, said in given if isinstance(said, Spent)]
    targets = await find_targets(session, statement.reading, [spent for *_, spent in readable])
    items = [Item(*each, target) for each, target in zip(readable, targets, strict=True)]
    rehearsing = statement.id if statement.dry_run else None
    claims = {item.id: claim_of(item.spent.identity, rehearsing) for item in items}
    # A dry run's rows claim nothing of the workspace's, so what others hold is looked for.
    taken = await store.holders(session, [item.spent.identity for item in items]) if rehearsing else {}
    fresh = [item for item in items if item.target.code is None and item.spent.identity not in taken]
    added = await store.add_rows(session, [_row(session, statement, item, claims[item.id]) for item in fresh])
    mine = [item for item in fresh if item.id in added]
    others = [item for item in items if item.id not in added]
    holders = await store.holders(session, {claims[item.id] for item in others}) if others else {}
    for item in others:
        holder = taken.get(item.spent.identity) or holders.get(claims[item.id])
        if holder:
            told.append(_row(session, statement, item, None, RowOutcome.DUPLICATE, "duplicate", holder))
        else:
            told.append(
                _row(session, statement, item, None, RowOutcome.EXCEPTION, item.target.code or "changed_meanwhile")
            )
    if told:
        await store.add_rows(session, told)
    if statement.dry_run:
        rehearsal = Rehearsal(statement.rehearsed, now)
        async with _taken_back(session):
            became = await _post(session, statement, mine, who, now, rehearsal)
            kept = await rehearsal.end(session)
        became = {key: replace(each, invoice_id=None) for key, each in became.items()}
        await store.note_rehearsed(session, statement.id, kept)
    else:
        became = await _post(session, statement, mine, who, now)
    await store.settle_rows(session, [_change(key, each) for key, each in became.items()])
    return _counted([*(each["outcome"] for each in told)], [became.get(item.id) for item in mine])


def _counted(told: Sequence[str], mine: Sequence[Became | None]) -> Counter[str]:
    names = {RowOutcome.POSTED: "posted", RowOutcome.EXCEPTION: "exceptions", RowOutcome.DUPLICATE: "duplicates",
             RowOutcome.BAD: "bad"}  # fmt: skip
    counts = Counter(names[RowOutcome(outcome)] for outcome in told)
    counts.update(names[each.outcome if each else RowOutcome.POSTED] for each in mine)
    counts["seen"] = len(told) + len(mine)
    return counts


@asynccontextmanager
async def _taken_back(session: AsyncSession) -> AsyncIterator[None]:
    """What is done in it never was."""
    await session.flush()
    nested = await session.begin_nested()
    try:
        yield
    finally:
        await nested.rollback()


async def _post(
    session: AsyncSession, statement: Statement, items: Sequence[Item], who: str, now: datetime,
    rehearsal: Rehearsal | None = None,
) -> dict[UUID, Became]:  # fmt: skip
    """What became of items that isn't simply posted at what it takes."""
    ordered = [item for item in items if item.target.orders]
    direct = [item for item in items if not item.target.orders]
    became: dict[UUID, Became] = {}
    made: list[tuple[Item, Invoice]] = []
    for item in sorted(ordered, key=lambda each: (each.target.vendor, _number(each.spent), each.number)):
        found = await _invoice(session, item, who, now)
        if isinstance(found, Became):
            became[item.id] = found
        else:
            made.append((item, found))
    orders = [order for item in ordered for order in item.target.orders]
    lines = await lock_money(session, orders, [item.target.line_id for item in items if item.target.line_id])
    if rehearsal:
        await rehearsal.begin(session, lines, orders)
    for item, invoice in sorted(made, key=lambda each: each[0].number):
        became[item.id] = await _posted(session, invoice, who, now)
    refused = await book(
        session, EntryKind.ACTUAL, [_booking(item) for item in direct], who=who, now=now, subject_id=statement.id
    )
    return became | {key: Became(RowOutcome.EXCEPTION, code, counts=False) for key, code in refused.items()}


def _booking(item: Item) -> Booking:
    spent, rate = item.spent, item.target.rate
    assert rate is not None and item.target.line_id is not None  # noqa: S101, PT018  # found, or it would be an exception
    original = Original(spent.minor, spent.currency, rate.value, rate.day)
    reason = " ".join(each for each in (spent.vendor, spent.reference) if each) or spent.description
    return Booking(item.id, Leg(item.target.line_id, Amounts(actual=item.takes), original), spent.dated, reason)


async def lock_money(session: AsyncSession, request_ids: Sequence[UUID], line_ids: Sequence[UUID]) -> set[UUID]:
    """Locks orders, what is held for them, and lines, in the order in which everybody does, so that no two wait for
    each other; lines last, so that they are held shortest. Answers with the lines."""
    lines = set(line_ids)
    if request_ids:
        lines |= await store.lock_orders(session, set(request_ids))
        if reserve := (await policy_of(session)).reserve_line_id:
            lines.add(reserve)
    await ledger.lock_lines(session, lines)
    return lines


def _number(spent: Spent) -> str:
    return spent.reference or f"{spent.po_number or 'import'} {spent.dated} {spent.identity.hex()[:12]}"


async def _invoice(session: AsyncSession, item: Item, who: str, now: datetime) -> Invoice | Became:
    """The row as an invoice. Where its number was brought in by hand, that one counts; where it is another row's, or
    nothing came of it, this one is told apart by a number behind."""
    spent, target = item.spent, item.target
    for again in range(1, MOST_OF_A_NUMBER):
        number = _number(spent) + (f" ({again})" if again > 1 else "")
        found = await store.invoice_of(session, target.vendor, number)
        if found is not None:
            if found.by_hand and found.state not in (InvoiceState.REVERSED, InvoiceState.REJECTED):
                return Became(RowOutcome.DUPLICATE, "invoice_exists", found.id, counts=False)
            continue
        row = {
            "workspace_id": workspace_of(session), "line_id": target.line_id, "request_id": target.request_id,
            "vendor": target.vendor, "number": number, "currency": spent.currency, "amount": spent.minor,
            "dated": spent.dated, "received_by": who, "received_at": now,
        }  # fmt: skip
        invoice = Invoice.model_validate(row)
        try:
            async with session.begin_nested():
                await add_row(session, invoice)
        except IntegrityError:
            continue  # somebody brought it in at this moment
        await store.note_invoice(session, item.id, invoice.id)
        return invoice
    return Became(RowOutcome.EXCEPTION, "number_taken", counts=False)


async def _posted(session: AsyncSession, invoice: Invoice, who: str, now: datetime) -> Became:
    try:
        async with session.begin_nested():
            await invoices.post(session, invoice, who, now)
    except MopsError as problem:
        await session.refresh(invoice)
        return Became(RowOutcome.EXCEPTION, problem.code, invoice.id)
    if invoice.state is InvoiceState.POSTED:
        return Became(RowOutcome.POSTED, None, invoice.id, invoice.spent, invoice.worth)
    return Became(RowOutcome.EXCEPTION, invoice.problem, invoice.id)


def _row(
    session: AsyncSession, statement: Statement, item: Item, claim: bytes | None,
    outcome: RowOutcome = RowOutcome.POSTED, code: str | None = None, duplicate_of: UUID | None = None,
) -> dict[str, Any]:  # fmt: skip
    spent, target = item.spent, item.target
    posted = outcome is RowOutcome.POSTED
    return {
        **_bare(session, statement, item.id, item.number, outcome, code, words(code) if code else None),
        "dated": spent.dated, "currency": spent.currency, "minor": spent.minor, "vendor": spent.vendor or None,
        "reference": spent.reference or None, "description": spent.description or None,
        "po_number": spent.po_number or None, "line": spent.line or None, "line_id": target.line_id,
        "duplicate_of": duplicate_of, "claim": None if claim is None else f"\\x{claim.hex()}",
        "spent": item.takes if posted and not target.orders else None, "worth": 0 if posted else None,
    }  # fmt: skip


def _bad(session: AsyncSession, statement: Statement, id: UUID, number: int, why: Unreadable) -> dict[str, Any]:
    return {
        **_bare(session, statement, id, number, RowOutcome.BAD, why.code, why.message[:500]),
        "field": why.field,
    }  # fmt: skip


def _bare(
    session: AsyncSession, statement: Statement, id: UUID, number: int, outcome: RowOutcome, code: str | None,
    message: str | None,
) -> dict[str, Any]:  # fmt: skip
    return {
        "workspace_id": workspace_of(session), "id": id, "statement_id": statement.id, "number": number,
        "outcome": outcome.value, "code": code, "message": message,
    }  # fmt: skip


def _change(row_id: UUID, became: Became) -> Mapping[str, Any]:
    return {
        "id": row_id, "outcome": became.outcome.value, "code": became.code,
        "message": words(became.code) if became.code else None, "invoice_id": became.invoice_id,
        "spent": became.spent, "worth": became.worth, "counts": became.counts,
    }  # fmt: skip
