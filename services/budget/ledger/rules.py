"""Decides how entries move a line's money, and what a position is: all in integer minor units."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Self

from chassis.errors import Invalid

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


@dataclass(frozen=True)
class Amounts:
    """The four pots of a line: what is in them, or what an entry adds to each. A commitment of 5 that was reserved
    adds -5 to `reserved` and 5 to `committed`, so that nothing is ever counted in two pots."""

    allotted: int = 0
    reserved: int = 0
    committed: int = 0
    actual: int = 0

    @property
    def available(self) -> int:
        return self.allotted - self.reserved - self.committed - self.actual

    def __add__(self, other: Self) -> "Amounts":
        return Amounts(*(getattr(self, pot.name) + getattr(other, pot.name) for pot in fields(Amounts)))

    def __neg__(self) -> "Amounts":
        return Amounts(*(-getattr(self, pot.name) for pot in fields(Amounts)))


def allotment(minor: int, currency: str, line_currency: str) -> Amounts:
    """What allotting an amount adds; Invalid, naming the field, unless it is above zero, in the line's currency."""
    if currency != line_currency:
        raise Invalid.field("amount.currency", f"the line is in {line_currency}", "not_the_lines")
    if minor <= 0:
        raise Invalid.field("amount.amount", "must be more than zero", "not_positive")
    return Amounts(allotted=minor)


def posted(balance: Amounts, change: Amounts) -> Amounts:
    """The balance after an entry; Invalid when a pot would hold more than can be kept."""
    after = balance + change
    if any(abs(pot) > LARGEST for pot in vars(after).values()) or any(
        abs(pot) > LARGEST for pot in vars(change).values()
    ):
        raise Invalid.field("amount.amount", "the line can't hold that much", "too_much")
    return after


@dataclass(frozen=True)
class MixedCurrencies:
    """Why a campaign has no position: its lines are in these currencies, and not all in the reporting one."""

    currencies: tuple[str, ...]
    reporting: str
    code: str = "mixed_currencies"

    @property
    def detail(self) -> str:
        return f"lines in {', '.join(self.currencies)} can't be added up in {self.reporting}"


def campaign_position(reporting: str, sums: Mapping[str, Amounts]) -> Amounts | MixedCurrencies:
    """A campaign's position in the workspace's reporting currency, from what its lines sum to per currency."""
    if set(sums) - {reporting}:
        return MixedCurrencies(tuple(sorted(sums)), reporting)
    return sums.get(reporting, Amounts())
