"""Decides how entries move a line's money, and what a position is: all in integer minor units.

An account of a line is a source (allotted, transferred) or a use (available, reserved, committed, actual). Every entry
adds as much to the sources as to the uses, so that what is available is always what was given and not yet taken.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Self
from uuid import UUID

from chassis.errors import Conflict, Invalid

# What Postgres's bigint holds.
LARGEST = 2**63 - 1


class EntryKind(StrEnum):
    """Why an entry was made."""

    ALLOT = "allot"
    TRANSFER = "transfer"
    RESERVE = "reserve"
    COMMIT = "commit"
    ACTUAL = "actual"
    RELEASE = "release"
    REVERSE = "reverse"
    REVALUE = "revalue"


class HoldState(StrEnum):
    """What became of money that was promised to something. A reservation resolves once: it is committed, released or
    expired; what is committed is spent in the end, or let go of."""

    RESERVED = "reserved"
    COMMITTED = "committed"
    SPENT = "spent"
    RELEASED = "released"
    EXPIRED = "expired"


OPEN = frozenset({HoldState.RESERVED, HoldState.COMMITTED})


@dataclass(frozen=True)
class Amounts:
    """The accounts of a line: what is on them, or what an entry adds to each. A commitment of 5 that was reserved
    adds -5 to `reserved` and 5 to `committed`, so that nothing is ever counted in two. Of what was taken from
    `available`, `fx` was taken by exchange rates alone, and `price` as orders cost more than they were placed for."""

    allotted: int = 0
    transferred: int = 0
    reserved: int = 0
    committed: int = 0
    actual: int = 0
    fx: int = 0
    price: int = 0

    @property
    def available(self) -> int:
        return self.allotted + self.transferred - self.reserved - self.committed - self.actual

    def __add__(self, other: Self) -> "Amounts":
        return Amounts(*(getattr(self, pot.name) + getattr(other, pot.name) for pot in fields(Amounts)))

    def __neg__(self) -> "Amounts":
        return Amounts(*(-getattr(self, pot.name) for pot in fields(Amounts)))


@dataclass(frozen=True)
class Original:
    """What an amount was before it was converted, and the rate that it is pinned at."""

    minor: int
    currency: str
    rate: Decimal
    rate_on: date


@dataclass(frozen=True)
class Leg:
    """What a movement does to one line."""

    line_id: UUID
    change: Amounts
    original: Original | None = None


def assert_balanced(legs: list[Leg]) -> None:
    """Raises ValueError unless what goes from line to line sums to zero, in the currency that it was moved in."""
    # A leg stays one where a rate makes nothing of so little: of a cent that is less than half of another currency's.
    moved = [leg.original.minor for leg in legs if leg.original]
    if any(leg.change.transferred for leg in legs) and sum(moved) != 0:
        raise ValueError("a transfer must sum to zero")


def allotment(minor: int, currency: str, line_currency: str) -> Amounts:
    """What allotting an amount adds; Invalid, naming the field, unless it is above zero, in the line's currency."""
    if currency != line_currency:
        raise Invalid.field("amount.currency", f"the line is in {line_currency}", "not_the_lines")
    assert_positive(minor)
    return Amounts(allotted=minor)


def assert_positive(minor: int, field: str = "amount") -> None:
    if minor <= 0:
        raise Invalid.field(f"{field}.amount", "must be more than zero", "not_positive")


def assert_kept(change: Amounts) -> None:
    """Raises Invalid when no account could hold that much."""
    if any(abs(pot) > LARGEST for pot in (*vars(change).values(), change.available)):
        raise too_much()


def too_much() -> Invalid:
    return Invalid.field("amount.amount", "the line can't hold that much", "too_much")


@dataclass(frozen=True)
class Standing:
    """A line's money as a writer finds it. `stops`: it never goes below zero. Days before `closed_until` are closed."""

    line_id: UUID
    balance: Amounts
    stops: bool
    closed_until: date | None
    low_percent: int
    entries: int = 0


class DoesNotFit(Conflict):
    """More is asked of a line than is available; `missing` of it, in minor units of the line's currency."""

    default_code = "does_not_fit"

    def __init__(self, line_id: UUID, available: int, asked: int, currency: str, told: Mapping[str, object]) -> None:
        super().__init__(
            f"the line has less available than is asked for, by {told['missing_text']}",
            facts={key: value for key, value in told.items() if key != "missing_text"},
        )
        self.line_id, self.available, self.asked, self.currency = line_id, available, asked, currency

    @property
    def missing(self) -> int:
        return self.asked - self.available


def refusal(found: Standing, change: Amounts, booked_on: date) -> str | None:
    """Why a line doesn't take an entry, as a code; None if it does. What gives back is taken even where a line is
    below zero already."""
    if found.closed_until is not None and booked_on < found.closed_until:
        return "period_closed"
    after = found.balance + change
    if after.reserved < 0 or after.committed < 0:
        return "not_held"
    if found.stops and change.available < 0 and after.available < 0:
        return "does_not_fit"
    return None


@dataclass(frozen=True)
class Refused:
    """A line that doesn't take what is asked of it, as it stood then, and why: a code."""

    standing: Standing
    change: Amounts
    code: str


def taken(found: Standing, change: Amounts, booked_on: date) -> Standing | Refused:
    """What a line is after an entry, or why it doesn't take it."""
    if code := refusal(found, change, booked_on):
        return Refused(found, change, code)
    after = found.balance + change
    sums = (after.allotted + after.transferred, after.available)
    if any(abs(pot) > LARGEST for pot in (*vars(after).values(), *vars(change).values(), *sums)):
        return Refused(found, change, "too_much")
    return replace(found, balance=after, entries=found.entries + 1)


def runs_low(before: Amounts, after: Amounts, percent: int) -> bool:
    """Whether an entry takes a line below so many percent of what it was given: only the one that crosses it does."""

    def low(amounts: Amounts) -> bool:
        return amounts.available * 100 < (amounts.allotted + amounts.transferred) * percent

    return low(after) and not low(before)


def share(held: int, whole: int, part: int) -> int:
    """What of a held amount belongs to `part` of the `whole` original that it is held for; all of it for the whole."""
    if part >= whole:
        return held
    return held * part // whole


@dataclass(frozen=True)
class MixedCurrencies:
    """Why a campaign has no position: its lines are in these currencies, and there is no rate for one of them."""

    currencies: tuple[str, ...]
    reporting: str
    code: str = "mixed_currencies"

    @property
    def detail(self) -> str:
        return f"lines in {', '.join(self.currencies)} can't be added up in {self.reporting}: a rate is missing"
