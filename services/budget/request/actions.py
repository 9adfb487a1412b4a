"""Decides how a request is asked for and ordered, and how it ends: by a word, by its time, or with its campaign."""

from datetime import datetime, timedelta
from typing import ClassVar
from uuid import UUID

from fastapi import FastAPI
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import Database, get_row
from chassis.fields import Money
from chassis.inbox import Incoming
from chassis.jobs import Job
from chassis.outbox import Event, record
from services.budget.contract import store as contracts
from services.budget.ledger import actions as ledger
from services.budget.ledger import store as ledger_store
from services.budget.ledger.rules import HoldState
from services.budget.rate import store as rates
from services.budget.request import store
from services.budget.request.models import RequestEnded, RequestOrdered, RequestSubmitted, SpendRequest
from services.budget.request.rules import ORDERED, RequestState, assert_can_become, assert_reserved

BATCH = 100


async def submit(session: AsyncSession, request: SpendRequest, who: str, now: datetime) -> None:
    """Asks for what was drafted; what it is worth, at today's rate, says who decides on it."""
    assert_can_become(request.state, RequestState.SUBMITTED)
    reporting = (await session.info["database"].workspace(session)).currency
    rate = await rates.rate_of(session, request.currency, reporting, await ledger.today_of(session, now))
    request.state, request.worth = RequestState.SUBMITTED, rate.of(request.amount)
    request.submitted_at = request.waiting_since = now
    request.submitted_by = who
    await session.flush()
    told = RequestSubmitted(
        request_id=request.id, line_id=request.line_id, campaign_id=request.campaign_id,
        amount=Money.of_minor(request.amount, request.currency),
    )  # fmt: skip
    await record(session, told, request.id, now)


async def place_order(
    session: AsyncSession, request: SpendRequest, number: str | None, who: str, now: datetime
) -> None:
    """Commits what was reserved, under this purchase order number or the next of our own."""
    assert_can_become(request.state, RequestState.COMMITTED)
    assert_reserved(request.expires_at, now)
    request.po_number = number or await store.next_po_number(session)
    request.state, request.committed_at, request.expires_at = RequestState.COMMITTED, now, None
    await session.flush()
    for hold in await ledger_store.holds_of(session, request.id):
        await ledger.commit(session, hold, who=who, now=now, reason=request.po_number)
    ordered = RequestOrdered(request_id=request.id, campaign_id=request.campaign_id, po_number=request.po_number)
    await record(session, ordered, request.id, now)


async def end(
    session: AsyncSession, request: SpendRequest, state: RequestState, who: str, now: datetime,
    reason: str | None = None,
) -> int:  # fmt: skip
    """Brings a request to one of its ends and lets go of what is still held for it; how much that was of."""
    assert_can_become(request.state, state)
    was = request.state
    request.state, request.ended_at, request.expires_at = state, now, None
    request.reason = reason or request.reason
    await session.flush()
    ended = RequestEnded(request_id=request.id, campaign_id=request.campaign_id, state=state)
    await record(session, ended, request.id, now)
    left = HoldState.EXPIRED if state is RequestState.EXPIRED else HoldState.RELEASED
    cheaper, released = state is RequestState.CLOSED and request.invoiced > 0, 0
    for hold in await ledger_store.holds_of(session, request.id):
        released += await ledger.release(
            session, hold, who=who, now=now, reason=reason or state, state=left, cheaper=cheaper
        )
    if was in ORDERED and not request.invoiced:
        await ledger.save_nothing(session, request.id, who=who, now=now, reason="nothing was bought")
    return released


async def note_invoiced(
    session: AsyncSession, request: SpendRequest, minor: int, who: str, now: datetime, *, reopens: bool = True
) -> None:
    """An invoice of an order was posted, or with a negative amount taken back: it is closed when nothing is left. One
    that was closed by hand doesn't reopen."""
    request.invoiced += minor
    if not reopens:
        await session.flush()
        if not request.invoiced:
            await ledger.save_nothing(session, request.id, who=who, now=now, reason="nothing was bought")
        return
    if minor < 0 and request.state is RequestState.CLOSED:
        # What the invoice took is held again, and let go of if the others still are as much as was ordered.
        request.state, request.ended_at = RequestState.PART_INVOICED, None
    if request.invoiced >= request.amount:
        if request.state in ORDERED:
            await end(session, request, RequestState.CLOSED, who, now)
        return
    request.state = RequestState.PART_INVOICED if request.invoiced else RequestState.COMMITTED
    await session.flush()


async def expire_due(app: FastAPI) -> None:
    """Lets go of reservations that nobody has committed in time, each in a transaction of its own."""
    database: Database = app.state.database
    now: datetime = app.state.clock()
    while True:
        async with database.worker() as session:
            due = await store.due_requests(session, now, BATCH)
        for workspace_id, request_id in due:
            async with database.tenant(workspace_id) as session:
                request = await get_row(session, SpendRequest, request_id, lock=True)
                # Committed or voided since it was found.
                if request.state is RequestState.APPROVED and request.expires_at and request.expires_at <= now:
                    await end(session, request, RequestState.EXPIRED, database.actor, now)
        if len(due) < BATCH:
            return


EXPIRE = Job("expire_reservations", timedelta(minutes=1), expire_due)


class CampaignReleased(Event):
    """Budget has let go of what it held for a cancelled campaign: `effects` requests were voided, or holds released."""

    type: ClassVar[str] = "budget.campaign.released"
    campaign_id: UUID
    effects: int


class CampaignCancelled(BaseModel):
    """What budget needs to know of goals.campaign.cancelled."""

    campaign_id: UUID
    reason: str


async def release_campaign(session: AsyncSession, event: Incoming) -> None:
    """Voids what was asked for a cancelled campaign, releases what else is reserved on its lines, and tells goals that
    it is done. What is ordered stands. Heard again, it does nothing."""
    cancelled = CampaignCancelled.model_validate(event.data)
    actor = str(session.info["actor"])
    effects = 0
    lines = await ledger_store.lines_of(session, cancelled.campaign_id)
    ids = await store.unordered_of(session, cancelled.campaign_id)
    # Contracts and requests first, then holds, then lines, each in one order: whoever decides meanwhile waits, and
    # never in a circle.
    holding = await contracts.lock_holding(session, lines)
    requests = [await get_row(session, SpendRequest, request_id, lock=True) for request_id in ids]
    await ledger_store.lock_held(session, ids, lines)
    for request in requests:
        if request.state not in ORDERED:
            await end(session, request, RequestState.VOIDED, actor, event.time, cancelled.reason)
            effects += 1
    for line_id in lines:
        for hold in await ledger_store.open_holds(session, line_id=line_id):
            if hold.state is HoldState.RESERVED:
                effects += await ledger.release(session, hold, who=actor, now=event.time, reason=cancelled.reason)
    await contracts.note_released(session, holding)
    done = CampaignReleased(campaign_id=cancelled.campaign_id, effects=effects)
    await record(session, done, cancelled.campaign_id, event.time)
