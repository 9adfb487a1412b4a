"""Decides how a request for money comes from one state to the next, who may decide on it, and what of it may be
invoiced."""

from collections.abc import Collection, Mapping
from datetime import datetime
from decimal import ROUND_FLOOR, Decimal
from enum import StrEnum

from chassis.errors import Conflict, Forbidden, Invalid


class RequestState(StrEnum):
    """draft -> submitted -> approved (reserved) -> committed (ordered) -> part_invoiced -> closed; or one of the ends
    that nothing follows."""

    DRAFT = "draft"
    SUBMITTED = "submitted"
    APPROVED = "approved"
    COMMITTED = "committed"
    PART_INVOICED = "part_invoiced"
    CLOSED = "closed"
    REJECTED = "rejected"
    EXPIRED = "expired"
    VOIDED = "voided"


class RequestVerdict(StrEnum):
    """What somebody decided."""

    APPROVED = "approved"
    REJECTED = "rejected"


S = RequestState
# From where each state is reached.
BEFORE: Mapping[RequestState, frozenset[RequestState]] = {
    S.SUBMITTED: frozenset({S.DRAFT}),
    S.APPROVED: frozenset({S.SUBMITTED}),
    S.REJECTED: frozenset({S.SUBMITTED}),
    S.COMMITTED: frozenset({S.APPROVED}),
    S.PART_INVOICED: frozenset({S.COMMITTED, S.PART_INVOICED}),
    S.CLOSED: frozenset({S.COMMITTED, S.PART_INVOICED}),
    S.EXPIRED: frozenset({S.APPROVED}),
    S.VOIDED: frozenset({S.DRAFT, S.SUBMITTED, S.APPROVED, S.COMMITTED}),
}
ORDERED = frozenset({S.COMMITTED, S.PART_INVOICED})
# What a cancelled campaign takes with it; an order stands until somebody voids it.
UNORDERED = frozenset({S.DRAFT, S.SUBMITTED, S.APPROVED})


def assert_can_become(state: RequestState, wanted: RequestState) -> None:
    """Raises Conflict `not_STATE` unless a request in one state can come to another."""
    if state not in BEFORE[wanted]:
        needed = sorted(BEFORE[wanted])
        words = f"the request is {state}; only what is {' or '.join(needed)} can become {wanted}"
        raise Conflict(words, code="not_" + "_or_".join(needed))


def assert_reserved(expires_at: datetime | None, now: datetime) -> None:
    """Raises Conflict `expired` from the instant on at which a reservation is let go of, whether or not it was yet."""
    if expires_at is not None and expires_at <= now:
        raise Conflict(f"what was reserved is let go of since {expires_at}: ask for it anew", code="expired")


def deciding_for(
    who: str, requesters: Collection[str], approvers: Collection[str], decided: Collection[str], absent: Collection[str]
) -> str | None:
    """In whose place somebody decides on a layer; None: in their own. Forbidden when they asked for it themselves, have
    decided on a layer of it before, or aren't one of its approvers (anybody is where none are named)."""
    if who in requesters:
        raise Forbidden("nobody decides on a request of their own", code="four_eyes")
    if who in decided:
        raise Forbidden("you have decided on a layer of it before: another pair of eyes", code="four_eyes")
    if not approvers or who in approvers:
        return None
    found = sorted(set(absent) & set(approvers) - set(requesters) - set(decided))
    if not found:
        raise Forbidden("this layer is for others to decide", code="not_an_approver")
    return found[0]


def seconds_between(begin: datetime, end: datetime) -> int:
    return max(0, int((end - begin).total_seconds()))


def allowed(ordered: int, percent: Decimal) -> int:
    """How much may be invoiced of an order in all, in its minor units."""
    return ordered + int((ordered * percent / 100).to_integral_value(ROUND_FLOOR))


def assert_receivable(state: RequestState, ordered_in: str, minor: int, currency: str) -> None:
    """Raises Conflict unless something is ordered that can arrive, and Invalid, naming the field, for what can't be a
    part of it."""
    if state not in ORDERED:
        raise Conflict(f"the request is {state}; nothing of it is ordered", code="not_ordered")
    if currency != ordered_in:
        raise Invalid.field("amount.currency", f"the request is in {ordered_in}", "not_the_requests")
    if minor <= 0:
        raise Invalid.field("amount.amount", "must be more than zero", "not_positive")
