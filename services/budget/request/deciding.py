"""Decides on requests, as many as wait at once: each by itself, as if it had come after those before it, in one
transaction that reads all that it needs, locks the lines last and writes once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from chassis.audit import Acting, write_down
from chassis.editing import Match
from chassis.errors import Conflict, MopsError, NotFound
from chassis.fields import new_id
from chassis.outbox import Happened, record_all
from services.budget.band import store as bands
from services.budget.delegation import store as delegations
from services.budget.ledger import actions as ledger
from services.budget.ledger.models import LineMoved
from services.budget.policy.store import policy_of
from services.budget.rate import store as rates
from services.budget.rate.rules import Rate
from services.budget.request import store
from services.budget.request.models import RequestDecided, SpendRequest
from services.budget.request.rules import (
    RequestState,
    RequestVerdict,
    assert_can_become,
    deciding_for,
    seconds_between,
)


@dataclass(frozen=True)
class Ask:
    """What somebody says to a layer of a request."""

    request_id: UUID
    if_match: Match
    verdict: RequestVerdict
    acting: Acting
    now: datetime
    reason: str | None
    trace: str | None

    @property
    def wanted(self) -> RequestState:
        return RequestState.APPROVED if self.verdict is RequestVerdict.APPROVED else RequestState.REJECTED


@dataclass
class _Decided:
    """What a decision makes of a request: the row as it was and as it is, and what is told of it."""

    ask: Ask
    before: Mapping[str, Any]
    row: Any
    decision: Mapping[str, Any]
    last: bool


async def decide_all(session: AsyncSession, asks: Sequence[Ask]) -> list[Any]:
    """One layer's decision for each, no request twice. The last yes reserves what is asked for, on every line or on
    none. Answers with the row of each, or with the MopsError that kept it from being decided."""
    answers: dict[UUID, Any] = {}
    rows = await store.lock_requests(session, [ask.request_id for ask in asks])
    for ask in asks:
        try:
            row = rows.get(ask.request_id)
            if row is None:
                raise NotFound(f"no request {ask.request_id}")
            ask.if_match.check(row)
            assert_can_become(row.state, ask.wanted)
        except MopsError as problem:
            answers[ask.request_id] = problem
    open_asks = [ask for ask in asks if ask.request_id not in answers]
    decided = await _judged(session, open_asks, rows, answers) if open_asks else []
    approved = [each for each in decided if each.last and each.ask.verdict is RequestVerdict.APPROVED]
    refused, moved = await _reserve(session, approved) if approved else ({}, set())
    answers |= refused
    done = [each for each in decided if each.row.id not in refused]
    if done:
        await store.keep_decided(session, [each.row for each in done], [each.decision for each in done])
        # After the lines are taken, as nobody else tells of a request that this transaction holds.
        lines = [Happened(LineMoved(line_id=each), each, done[0].ask.now, done[0].ask.trace) for each in moved]
        await record_all(session, [*(_told(each) for each in done if each.last), *lines])
        changes = [(each.before, {name: getattr(each.row, name) for name in store.DECIDED}, each.ask.acting)
                   for each in done]  # fmt: skip
        await write_down(session, SpendRequest, changes)
    return [answers.get(ask.request_id, rows.get(ask.request_id)) for ask in asks]


async def _judged(
    session: AsyncSession, asks: Sequence[Ask], rows: Mapping[UUID, Any], answers: dict[UUID, Any]
) -> list[_Decided]:
    """Who may decide, and what then becomes of each request."""
    layers = await bands.layers_of(session, [rows[ask.request_id] for ask in asks])
    earlier = await store.passed_of(session, [ask.request_id for ask in asks if rows[ask.request_id].layers_done])
    days = (await policy_of(session)).reservation_days
    today = await ledger.today_of(session, asks[0].now)
    others: list[tuple[Ask, list[Any], list[str]]] = []
    for ask, found in zip(asks, layers, strict=True):
        passed = earlier.get(ask.request_id, store.Passed())
        # What is left of them as they are now, however they have changed since the first one.
        left = [layer for layer in found if layer.id not in passed.bands]
        others.append((ask, left, list(left[0].approvers) if left else []))
    unnamed = {ask.acting.actor for ask, _, approvers in others if approvers and ask.acting.actor not in approvers}
    absent = await delegations.absent_for(session, unnamed, today) if unnamed else {}
    decided = []
    for ask, left, approvers in others:
        row, who = rows[ask.request_id], ask.acting.actor
        requesters = {row.requested_by, row.submitted_by or ""}
        deciders = earlier.get(row.id, store.Passed()).deciders
        try:
            place = deciding_for(who, requesters, approvers, deciders, absent.get(who, set()))
        except MopsError as problem:
            answers[row.id] = problem
            continue
        decided.append(_becomes(ask, row, left, place, days))
    return decided


def _becomes(ask: Ask, row: Any, left: Sequence[Any], in_place_of: str | None, days: int) -> _Decided:
    before, done, now = dict(vars(row)), row.layers_done, ask.now
    layer = left[0] if left else None
    since, submitted = row.waiting_since or now, row.submitted_at or now
    decision = {
        "workspace_id": row.workspace_id, "id": new_id(), "request_id": row.id, "layer": done + 1,
        "band_id": layer and layer.id, "band_name": layer and layer.name, "verdict": ask.verdict,
        "decided_by": ask.acting.actor, "in_place_of": in_place_of, "waited_since": since, "decided_at": now,
        "seconds": seconds_between(since, now), "reason": ask.reason,
    }  # fmt: skip
    approves = ask.verdict is RequestVerdict.APPROVED
    last = not approves or len(left) <= 1
    row.layers_done, row.waiting_since, row.version = done + 1, now, row.version + 1
    if last:
        row.state, row.reason = ask.wanted, ask.reason
        row.decided_at, row.decided_by, row.decision_seconds = now, ask.acting.actor, seconds_between(submitted, now)
        row.expires_at, row.ended_at = (now + timedelta(days=days), None) if approves else (None, now)
    return _Decided(ask, before, row, decision, last)


def _told(each: _Decided) -> Happened:
    row = each.row
    event = RequestDecided(
        request_id=row.id, campaign_id=row.campaign_id, verdict=each.ask.verdict, layers=row.layers_done,
        seconds=row.decision_seconds,
    )  # fmt: skip
    return Happened(event, row.id, each.ask.now, each.ask.trace)


async def _reserve(session: AsyncSession, approved: Sequence[_Decided]) -> tuple[dict[UUID, MopsError], set[UUID]]:
    """Sets aside what the last yes is for; by request, why not, and the lines that it was taken of."""
    now = approved[0].ask.now
    day = await ledger.today_of(session, now)
    items: dict[UUID, list[Any]] = {each.row.id: [] for each in approved}
    for item in await store.items_of(session, list(items)):
        items[item.request_id].append(item)
    pairs = {(each.row.currency, item.line_currency) for each in approved for item in items[each.row.id]}
    found = {pair: await _rate(session, *pair, day) for pair in pairs}
    refused: dict[UUID, MopsError] = {}
    asked = []
    for each in approved:
        wanted: dict[UUID, ledger.Wanted] = {}
        for item in items[each.row.id]:
            rate = found[each.row.currency, item.line_currency]
            if isinstance(rate, MopsError):
                refused[each.row.id] = rate
                break
            # One of each line, so that an invoice finds all that is held for it there.
            so_far = wanted.get(item.line_id, ledger.Wanted(item.id, item.line_id, 0, rate))
            wanted[item.line_id] = replace(so_far, minor=so_far.minor + item.amount)
        else:
            asked.append(ledger.Reservation(each.row.id, list(wanted.values()), each.ask.acting.actor, each.row.title))
    unfit, moved = await ledger.reserve_all(session, asked, now)
    return refused | unfit, moved


async def _rate(session: AsyncSession, currency: str, into: str, day: date) -> Rate | MopsError:
    try:
        return await rates.rate_of(session, currency, into, day)
    except Conflict as problem:
        return problem
