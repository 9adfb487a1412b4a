"""Decides who may still decide on a contract's renewal, and what comes of it."""

from datetime import date
from enum import StrEnum

from chassis.errors import Conflict
from services.budget.contract.rules import UNDECIDED, ContractState, Terms


class DecisionKind(StrEnum):
    """What can be decided of a renewal. `renegotiate` renews at another cost."""

    RENEW = "renew"
    TERMINATE = "terminate"
    RENEGOTIATE = "renegotiate"


def decided(state: ContractState, kind: DecisionKind, terms: Terms, today: date, *, by_default: bool) -> ContractState:
    """The state that a decision leads to. Raises Conflict: `over` once the contract has ended; `deadline_missed` when
    notice comes too late for a contract that renews by itself; `decided` when somebody decided and the deadline has
    passed since. Until then a decision can be replaced by another; a renewal by default can be confirmed."""
    if state is ContractState.LAPSED or today >= terms.end:
        raise Conflict(f"the contract ended on {terms.end}", code="over")
    too_late = today >= terms.deadline
    if too_late and kind is DecisionKind.TERMINATE and terms.auto_renews and state is not ContractState.TERMINATED:
        raise Conflict(
            f"notice had to be given before {terms.deadline}: it renews by itself on {terms.end}",
            code="deadline_missed",
        )
    if too_late and state not in UNDECIDED and not by_default:
        raise Conflict(f"it is {state}, which can't be changed since {terms.deadline}", code="decided")
    return ContractState.TERMINATED if kind is DecisionKind.TERMINATE else ContractState.RENEWED
