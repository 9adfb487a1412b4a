"""Decides how a contract comes from one state to the next, by somebody's word or by its dates, and who hears of it."""

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from uuid import UUID

from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import Database
from chassis.fields import Interval, Money
from chassis.jobs import Job
from chassis.outbox import record
from services.budget.contract import store
from services.budget.contract.holding import settle_hold
from services.budget.contract.models import (
    Contract,
    ContractLapsed,
    ContractNoticeDeadlineMissed,
    ContractNoticeWindowOpened,
    ContractRenewed,
    ContractTerminated,
)
from services.budget.contract.rules import ContractState, Step, due_step, next_date
from services.budget.renewal.rules import DecisionKind, decided
from services.budget.renewal.store import keep_decision

BATCH = 100
DEFAULT_REASON = "nobody decided before the notice deadline"


@dataclass(frozen=True)
class Word:
    """A decision, by whom and why. `minor`: what the next term costs, where that is another cost."""

    kind: DecisionKind
    who: str
    reason: str
    minor: int | None = None
    seats: int | None = None
    by_default: bool = False


async def follow_dates(session: AsyncSession, contract: Contract, who: str, now: datetime) -> None:
    """Brings a contract where its dates have it today, step by step, and its reservation to what should be; the
    contract is held by this transaction."""
    today = await store.today_of(session, now)
    while step := due_step(contract.state, contract.terms, today, missed=contract.missed_at is not None):
        await _take(session, contract, step, who, now)
    await settle_hold(session, contract, who, now)
    contract.due_on = _due_on(contract, today)
    await session.flush()


def _due_on(contract: Contract, today: date) -> date | None:
    """The next date of its own; tomorrow, where something is to be tried again."""
    days = [next_date(contract.state, contract.terms, missed=contract.missed_at is not None)]
    days += [today + timedelta(days=1)] if contract.short_minor is not None else []
    return min((day for day in days if day is not None), default=None)


async def _take(session: AsyncSession, contract: Contract, step: Step, who: str, now: datetime) -> None:
    terms = contract.terms
    if step is Step.OPEN:
        contract.state = ContractState.NOTICE_WINDOW
        opened = ContractNoticeWindowOpened(
            contract_id=contract.id, notice_deadline=terms.deadline, term_end=terms.end
        )  # fmt: skip
        await record(session, opened, contract.id, now)
    elif step is Step.MISS:
        contract.missed_at = now
        missed = ContractNoticeDeadlineMissed(
            contract_id=contract.id, notice_deadline=terms.deadline, renews=terms.auto_renews
        )
        await record(session, missed, contract.id, now)
        if terms.auto_renews:
            await _decide(
                session, contract, Word(DecisionKind.RENEW, who, DEFAULT_REASON, by_default=True),
                ContractState.RENEWED, now,
            )  # fmt: skip
    elif step is Step.TURN:
        _turn(contract)
    else:
        contract.state = ContractState.LAPSED
        await record(session, ContractLapsed(contract_id=contract.id, ended_on=terms.end), contract.id, now)
    await session.flush()


def _turn(contract: Contract) -> None:
    """Begins the next term, of which nothing is decided yet."""
    terms = contract.terms
    terms = replace(terms, start=terms.end, end=terms.next_end)
    contract.term_start, contract.term_end = terms.start, terms.end
    contract.window_opens, contract.notice_deadline = terms.opens, terms.deadline
    contract.cost_minor, contract.renewal_minor, contract.next_minor = contract.renewing_minor, None, None
    contract.seat_count = contract.next_seat_count or contract.seat_count
    contract.next_seat_count = None
    contract.state, contract.missed_at, contract.by_default = ContractState.ACTIVE, None, False
    contract.decision = contract.decision_reason = contract.decided_by = contract.decided_at = None


async def decide(session: AsyncSession, contract: Contract, word: Word, now: datetime) -> None:
    """Takes somebody's word on a renewal. What was reserved for want of one is released."""
    await follow_dates(session, contract, word.who, now)
    today = await store.today_of(session, now)
    state = decided(contract.state, word.kind, contract.terms, today, by_default=contract.by_default)
    await _decide(session, contract, word, state, now)
    await follow_dates(session, contract, word.who, now)


async def _decide(session: AsyncSession, contract: Contract, word: Word, state: ContractState, now: datetime) -> None:
    contract.state, contract.decision, contract.by_default = state, word.kind, word.by_default
    contract.decision_reason, contract.decided_by, contract.decided_at = word.reason, word.who, now
    contract.next_minor, contract.next_seat_count = word.minor, word.seats
    await keep_decision(session, contract, await store.today_of(session, now), now)
    if state is ContractState.RENEWED:
        renewed = ContractRenewed(
            contract_id=contract.id, by_default=word.by_default,
            next_term=Interval.of(contract.term_end, contract.terms.next_end),
            next_cost=Money.of_minor(contract.renewing_minor, contract.currency),
        )  # fmt: skip
        await record(session, renewed, contract.id, now)
    else:
        ended = ContractTerminated(contract_id=contract.id, ends_on=contract.term_end, reason=word.reason)
        await record(session, ended, contract.id, now)


async def follow_due_contracts(app: FastAPI) -> None:
    """Does what is due of every contract, each in a transaction of its own."""
    database: Database = app.state.database
    now: datetime = app.state.clock()
    done: set[UUID] = set()
    while True:
        async with database.worker() as session:
            due = await store.due_contracts(session, now, BATCH)
        new = [each for each in due if each[1] not in done]
        for workspace_id, contract_id in new:
            async with database.tenant(workspace_id) as session:
                contract = await store.get_contract(session, contract_id, lock=True)
                await follow_dates(session, contract, database.actor, now)
            done.add(contract_id)
        if not new:
            return


FOLLOW_CONTRACTS = Job("follow_contract_dates", timedelta(minutes=1), follow_due_contracts)
