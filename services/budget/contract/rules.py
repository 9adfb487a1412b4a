"""Decides by when a contract's renewal must be decided, and what its dates do by themselves."""

from calendar import monthrange
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

from chassis.errors import Conflict, Invalid

# Minor units. Far below a bigint, so that the costs of any page of contracts can be added up.
LARGEST_COST = 10**15


class ContractState(StrEnum):
    """`renewed`: the next term is settled, and begins when this one ends. `terminated`: it ends with this term."""

    ACTIVE = "active"
    NOTICE_WINDOW = "notice_window"
    RENEWED = "renewed"
    TERMINATED = "terminated"
    LAPSED = "lapsed"


class NoticeUnit(StrEnum):
    DAYS = "days"
    MONTHS = "months"


class Step(StrEnum):
    """What a date does: the window opens, the notice deadline passes undecided, the next term begins, or the contract
    ends as nobody renewed it."""

    OPEN = "open"
    MISS = "miss"
    TURN = "turn"
    LAPSE = "lapse"


GOES_ON = frozenset({ContractState.ACTIVE, ContractState.NOTICE_WINDOW, ContractState.RENEWED})
UNDECIDED = frozenset({ContractState.ACTIVE, ContractState.NOTICE_WINDOW})


def months_later(day: date, months: int, day_of_month: int) -> date:
    """So many calendar months on (or back), on that day of the month: on the last one where a month is shorter."""
    count = day.year * 12 + day.month - 1 + months
    year, month = count // 12, count % 12 + 1
    return date(year, month, min(day_of_month, monthrange(year, month)[1]))


def day_of_month(start: date, end: date) -> int:
    """The day of the month that terms turn on. A term from 31 January to 28 February turns on the 31st, and only on the
    28th as February has no other: kept, so that the turns after it don't drift."""
    return start.day if end == months_later(end, 0, start.day) else end.day


@dataclass(frozen=True)
class Terms:
    """A term from `start` up to but without `end`, in the workspace's days, and how it is left or goes on."""

    start: date
    end: date
    turns_on: int
    auto_renews: bool
    renewal_months: int
    notice_count: int
    notice_unit: NoticeUnit
    lead_days: int

    @property
    def deadline(self) -> date:
        """The first day on which notice comes too late."""
        if self.notice_unit is NoticeUnit.MONTHS:
            return months_later(self.end, -self.notice_count, self.end.day)
        return self.end - timedelta(days=self.notice_count)

    @property
    def opens(self) -> date:
        """The day on which deciding has to begin, so that it is done by the deadline."""
        return self.deadline - timedelta(days=self.lead_days)

    @property
    def next_end(self) -> date:
        """Up to when, without that day, a renewal runs; it begins where this term ends."""
        return months_later(self.end, self.renewal_months, self.turns_on)


def assert_terms(terms: Terms, today: date) -> None:
    """Raises Invalid, naming the field, when a term is over already, or could never be left in time."""
    if terms.end <= today:
        raise Invalid.field("term.end", "it is over: enter the term that runs now", "past")
    if terms.deadline < terms.start:
        raise Invalid.field("notice", "longer than the term", "too_long")


def assert_cost(field: str, minor: int, currency: str, expected: str, whose: str) -> None:
    """Raises Invalid, naming the field, unless a cost can be kept, and is in the currency it should be in."""
    if currency != expected:
        raise Invalid.field(f"{field}.currency", f"{whose} is in {expected}", "currency")
    if not 0 <= minor <= LARGEST_COST:
        raise Invalid.field(f"{field}.amount", "below zero, or more than can be kept", "out_of_range")


def next_date(state: ContractState, terms: Terms, *, missed: bool) -> date | None:
    """The day that changes something if nobody does anything; None when none does any more."""
    if state is ContractState.ACTIVE:
        return terms.opens
    if state is ContractState.NOTICE_WINDOW:
        return terms.end if missed else terms.deadline
    return terms.end if state is ContractState.RENEWED else None


def due_step(state: ContractState, terms: Terms, today: date, *, missed: bool) -> Step | None:
    """What the date does next; None when nothing is due."""
    day = next_date(state, terms, missed=missed)
    if day is None or today < day:
        return None
    if state is ContractState.ACTIVE:
        return Step.OPEN
    if state is ContractState.NOTICE_WINDOW:
        return Step.LAPSE if missed else Step.MISS
    return Step.TURN


def state_after_edit(state: ContractState, terms: Terms, today: date) -> ContractState:
    """Where an undecided contract stands once its terms were corrected: the window may not be open any more."""
    return ContractState.ACTIVE if state is ContractState.NOTICE_WINDOW and today < terms.opens else state


def assert_editable(state: ContractState, terms: Terms, today: date) -> None:
    """Raises Conflict `over` when a contract has ended: what it was stays on record."""
    if state is ContractState.LAPSED or (state is ContractState.TERMINATED and today >= terms.end):
        raise Conflict(f"the contract ended on {terms.end} and stays as it was", code="over")


def assert_terms_open(state: ContractState) -> None:
    """Raises Conflict `decided` when terms would change under a decision that rests on them."""
    if state not in UNDECIDED:
        raise Conflict(f"the contract is {state}: its term, notice and renewal stay as they are", code="decided")


def holds_money(state: ContractState, *, by_default: bool) -> bool:
    """Whether a renewal's cost is reserved: while nobody has decided, even if it renewed by itself."""
    return state is ContractState.NOTICE_WINDOW or (state is ContractState.RENEWED and by_default)
