"""Decides whether an invoice is what was ordered, and what can become of one that isn't."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from chassis.errors import Conflict


class InvoiceState(StrEnum):
    """received -> matched with its order, or an exception -> posted -> reversed; or rejected."""

    RECEIVED = "received"
    MATCHED = "matched"
    EXCEPTION = "exception"
    POSTED = "posted"
    REVERSED = "reversed"
    REJECTED = "rejected"


class InvoiceProblem(StrEnum):
    """Why an invoice waits for somebody."""

    NOT_ORDERED = "not_ordered"
    OTHER_VENDOR = "other_vendor"
    OTHER_CURRENCY = "other_currency"
    OTHER_LINE = "other_line"
    OVER_TOLERANCE = "over_tolerance"
    NOT_RECEIVED = "not_received"
    SEVERAL_ORDERS = "several_orders"
    DOES_NOT_FIT = "does_not_fit"
    PERIOD_CLOSED = "period_closed"
    NO_RATE = "no_rate"


# Somebody can let these pass; the others need another invoice, another line or another day.
ACCEPTABLE = frozenset(
    {
        InvoiceProblem.OTHER_VENDOR,
        InvoiceProblem.OVER_TOLERANCE,
        InvoiceProblem.NOT_RECEIVED,
        InvoiceProblem.SEVERAL_ORDERS,
    }
)

S = InvoiceState
BEFORE: Mapping[InvoiceState, frozenset[InvoiceState]] = {
    S.POSTED: frozenset({S.RECEIVED, S.MATCHED, S.EXCEPTION}),
    S.REVERSED: frozenset({S.POSTED}),
    S.REJECTED: frozenset({S.RECEIVED, S.MATCHED, S.EXCEPTION}),
    # Rebooked: matched anew.
    S.RECEIVED: frozenset({S.RECEIVED, S.MATCHED, S.EXCEPTION}),
}


def assert_can_become(state: InvoiceState, wanted: InvoiceState) -> None:
    """Raises Conflict when an invoice in one state can't come to another."""
    if state not in BEFORE[wanted]:
        needed = sorted(BEFORE[wanted])
        words = f"the invoice is {state}; only what is {' or '.join(needed)} can be {wanted}"
        raise Conflict(words, code="not_" + "_or_".join(needed))


@dataclass(frozen=True)
class Bill:
    """What an invoice says."""

    vendor: str
    currency: str
    minor: int
    dated: date


@dataclass(frozen=True)
class Order:
    """What it is held against: what was ordered, how much of that may be invoiced in all and was already, and what has
    arrived (None where that isn't asked)."""

    vendor: str
    currency: str
    open: bool
    on_line: bool
    most: int
    invoiced: int
    received: int | None
    # How much more than what was ordered or has arrived may be invoiced.
    tolerance: int


def problem_of(bill: Bill, order: Order, accepted: Collection[str] = ()) -> InvoiceProblem | None:
    """What is wrong with an invoice of an order and wasn't let pass; None: it matches."""
    return next((each for each in _problems(bill, order) if each not in accepted), None)


def _problems(bill: Bill, order: Order) -> Iterator[InvoiceProblem]:
    if not order.open:
        yield InvoiceProblem.NOT_ORDERED
    elif not order.on_line:
        yield InvoiceProblem.OTHER_LINE
    elif bill.currency != order.currency:
        yield InvoiceProblem.OTHER_CURRENCY
    if bill.vendor and order.vendor and bill.vendor.casefold() != order.vendor.casefold():
        yield InvoiceProblem.OTHER_VENDOR
    if order.invoiced + bill.minor > order.most:
        yield InvoiceProblem.OVER_TOLERANCE
    if order.received is not None and order.invoiced + bill.minor > order.received + order.tolerance:
        yield InvoiceProblem.NOT_RECEIVED


def drawn(minor: int, own: int, others: Sequence[int], slack: int) -> list[int]:
    """What of an invoice comes out of what is left of its order on its own line, and on each of the order's other
    lines. What is more than its own line has left, and isn't just `slack` that may be invoiced beyond it, is what the
    others were ordered for; and what these don't have either is its own line's."""
    over = minor - own
    taken: list[int] = []
    for left in others:
        taken.append(min(over - sum(taken), left) if over > slack else 0)
    return [minor - sum(taken), *taken]
