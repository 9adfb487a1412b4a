"""Decides what somebody agrees to, given all receipts of it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from chassis.errors import Invalid

# How far a caller's clock may be ahead of ours.
AHEAD = timedelta(minutes=5)


@dataclass(frozen=True)
class Receipt:
    """That somebody gave or withdrew consent to a purpose."""

    purpose: str
    given: bool
    at: datetime
    recorded_at: datetime


def check_said(at: datetime, now: datetime) -> None:
    """Invalid for what nobody can have said yet: it would hold against all that they say until then."""
    if at > now + AHEAD:
        raise Invalid.field("at", f"hasn't come yet; it is {now.isoformat(timespec='seconds')} now", "in_the_future")


def standing(receipts: Iterable[Receipt]) -> dict[str, Receipt]:
    """The receipt that holds for each purpose: the latest. Of two of one moment the one that withdraws."""
    found: dict[str, Receipt] = {}
    for each in receipts:
        known = found.get(each.purpose)
        if known is None or (each.at, not each.given) > (known.at, not known.given):
            found[each.purpose] = each
    return found
