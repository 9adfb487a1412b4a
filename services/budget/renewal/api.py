"""Decides what callers can do about a contract's renewal, and how they see what was decided."""

from datetime import datetime
from uuid import UUID

from fastapi import APIRouter
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.answers import listed
from chassis.db import Now, Reading, Session
from chassis.editing import IfMatch, Match, held
from chassis.idempotency import IdempotentRoute
from chassis.identity import CurrentPrincipal, scope
from chassis.listing import Listing, Parent, listing
from chassis.paging import Groups, Page
from services.budget.contract.actions import Word, decide
from services.budget.contract.models import Contract, ContractRead
from services.budget.contract.rules import assert_cost
from services.budget.renewal.models import (
    ContractDecision,
    ContractDecisionRead,
    ContractRenegotiation,
    ContractRenewal,
    ContractTermination,
)
from services.budget.renewal.rules import DecisionKind

router = APIRouter(route_class=IdempotentRoute, tags=["contracts"])


async def _decided(
    session: AsyncSession, contract_id: UUID, if_match: Match, word: Word, now: datetime
) -> ContractRead:
    contract = await held(session, Contract, contract_id, if_match)
    await decide(session, contract, word, now)
    return ContractRead.of(contract)


@router.post("/v1/contracts/{id}/renew", dependencies=[scope("budget:approve")])
async def renew_contract(
    id: UUID, renewal: ContractRenewal, if_match: IfMatch, session: Session, who: CurrentPrincipal, now: Now
) -> ContractRead:
    """Decides that it goes on when its term ends. What was reserved while nobody had decided is released. 409 `over`,
    or `decided` when somebody decided otherwise and the notice deadline has passed."""
    word = Word(DecisionKind.RENEW, who.subject, renewal.reason, seats=renewal.seat_count)
    return await _decided(session, id, if_match, word, now)


@router.post("/v1/contracts/{id}/renegotiate", dependencies=[scope("budget:approve")])
async def renegotiate_contract(
    id: UUID, terms: ContractRenegotiation, if_match: IfMatch, session: Session, who: CurrentPrincipal, now: Now
) -> ContractRead:
    """Decides that it goes on at another cost; otherwise as `renew`."""
    contract = await held(session, Contract, id, if_match)
    assert_cost("cost", terms.cost.minor, terms.cost.currency, contract.currency, "the contract")
    word = Word(DecisionKind.RENEGOTIATE, who.subject, terms.reason, terms.cost.minor, terms.seat_count)
    await decide(session, contract, word, now)
    return ContractRead.of(contract)


@router.post("/v1/contracts/{id}/terminate", dependencies=[scope("budget:approve")])
async def terminate_contract(
    id: UUID, termination: ContractTermination, if_match: IfMatch, session: Session, who: CurrentPrincipal, now: Now
) -> ContractRead:
    """Decides that it ends with its term; notice is for somebody to send. 409 `deadline_missed` when a contract that
    renews by itself can't be left in time any more."""
    word = Word(DecisionKind.TERMINATE, who.subject, termination.reason)
    return await _decided(session, id, if_match, word, now)


@router.get("/v1/contract-decisions", dependencies=[scope("budget:read")])
async def list_contract_decisions(
    reading: Reading,
    asked: Listing[ContractDecisionRead] = listing(
        ContractDecision,
        ContractDecisionRead,
        sort=("decided_at",),
        by=("kind", "decided_at"),
        parents={"contract_id": Parent(ContractDecision.contract_id)},
    ),
) -> Page[ContractDecisionRead] | Groups[ContractDecisionRead]:
    """What was decided of renewals, the oldest first unless sorted otherwise; of one renewal the latest holds."""
    return await listed(reading, asked)
