"""Decides what becomes of a request: approved it is reserved, and it ends by somebody's word, by its time, or with its
campaign."""

from datetime import datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID

from fastapi import FastAPI
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import Database, get_row
from chassis.fields import Money
from chassis.inbox import Incoming
from chassis.jobs import Job
from chassis.outbox import Event, record
from services.budget.band import store as bands
from services.budget.delegation import store as delegations
from services.budget.ledger import actions as ledger
from services.budget.ledger import store as ledger_store
from services.budget.ledger.rules import HoldState
from services.budget.policy.store import policy_of
from services.budget.rate import store as rates
from services.budget.request import store
from services.budget.request.models import Decision, RequestDecided, RequestEnded, SpendRequest
from services.budget.request.rules import (
    ORDERED,
    RequestState,
    RequestVerdict,
    assert_can_become,
    deciding_for,
    seconds_between,
)

BATCH = 100


async def decide(
    session: AsyncSession,
    request: SpendRequest,
    verdict: RequestVerdict,
    who: str,
    now: datetime,
    reason: str | None = None,
) -> None:
    """One layer's decision. The last yes reserves what is asked for, on every line or on none; DoesNotFit with the
    numbers when a line doesn't have it. The lines are waited for last, so that they are held shortest."""
    wanted = RequestState.APPROVED if verdict is RequestVerdict.APPROVED else RequestState.REJECTED
    assert_can_become(request.state, wanted)
    layers = await bands.layers_of(session, request.worth or 0, request.department, request.category)
    done = request.layers_done
    layer = layers[done] if done < len(layers) else None
    approvers = layer.approvers if layer else []
    decided = await store.deciders_of(session, request.id) if done else set()
    requesters = {request.requested_by, request.submitted_by or ""}
    absent = set()
    if approvers and who not in approvers:
        absent = await delegations.absent_for(session, who, await ledger.today_of(session, now))
    in_place_of = deciding_for(who, requesters, approvers, decided, absent)
    # All that is read comes before the first change, which so is one.
    days = (await policy_of(session)).reservation_days
    items = await store.items_of(session, [request.id])
    since, submitted = request.waiting_since or now, request.submitted_at or now
    session.add(
        Decision(
            workspace_id=request.workspace_id, request_id=request.id, layer=done + 1, band_id=layer and layer.id,
            band_name=layer and layer.name, verdict=verdict, decided_by=who, in_place_of=in_place_of,
            waited_since=since, decided_at=now, seconds=seconds_between(since, now), reason=reason,
        )
    )  # fmt: skip
    request.layers_done, request.waiting_since = done + 1, now
    if verdict is RequestVerdict.APPROVED and done + 1 < len(layers):
        await session.flush()
        return
    request.state, request.reason = wanted, reason
    request.decided_at, request.decided_by = now, who
    request.decision_seconds = seconds_between(submitted, now)
    if verdict is RequestVerdict.APPROVED:
        request.expires_at = now + timedelta(days=days)
    else:
        request.ended_at = now
    await session.flush()
    told = RequestDecided(
        request_id=request.id, campaign_id=request.campaign_id, verdict=verdict, layers=done + 1,
        seconds=request.decision_seconds,
    )  # fmt: skip
    await record(session, told, request.id, now)
    if verdict is RequestVerdict.APPROVED:
        await _reserve(session, request, items, who, now)


async def _reserve(session: AsyncSession, request: SpendRequest, items: list[Any], who: str, now: datetime) -> None:
    day = await ledger.today_of(session, now)
    for item in items:
        rate = await rates.rate_of(session, request.currency, item.line_currency, day)
        amount = Money.of_minor(item.amount, request.currency)
        await ledger.reserve(
            session, item.line_id, amount, request.id, who=who, now=now, reason=request.title, hold_id=item.id,
            rate=rate,
        )  # fmt: skip


async def end(
    session: AsyncSession, request: SpendRequest, state: RequestState, who: str, now: datetime,
    reason: str | None = None,
) -> int:  # fmt: skip
    """Brings a request to one of its ends and lets go of what is still held for it; how much that was of."""
    assert_can_become(request.state, state)
    request.state, request.ended_at, request.expires_at = state, now, None
    request.reason = reason or request.reason
    await session.flush()
    ended = RequestEnded(request_id=request.id, campaign_id=request.campaign_id, state=state)
    await record(session, ended, request.id, now)
    left = HoldState.EXPIRED if state is RequestState.EXPIRED else HoldState.RELEASED
    released = 0
    for hold in await ledger_store.holds_of(session, request.id):
        released += await ledger.release(session, hold, who=who, now=now, reason=reason or state, state=left)
    return released


async def note_invoiced(session: AsyncSession, request: SpendRequest, minor: int, who: str, now: datetime) -> None:
    """An invoice of an order was posted, or with a negative amount taken back: it is closed when nothing is left."""
    request.invoiced += minor
    if minor < 0 and request.state is RequestState.CLOSED:
        request.ended_at = None
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
    for request_id in await store.unordered_of(session, cancelled.campaign_id):
        request = await get_row(session, SpendRequest, request_id, lock=True)
        if request.state not in ORDERED:
            await end(session, request, RequestState.VOIDED, actor, event.time, cancelled.reason)
            effects += 1
    for line_id in await ledger_store.lines_of(session, cancelled.campaign_id):
        for hold in await ledger_store.open_holds(session, line_id=line_id):
            if hold.state is HoldState.RESERVED:
                effects += await ledger.release(session, hold, who=actor, now=event.time, reason=cancelled.reason)
    done = CampaignReleased(campaign_id=cancelled.campaign_id, effects=effects)
    await record(session, done, cancelled.campaign_id, event.time)
