"""Decides what is held in other currencies at a day's rates: all in one transaction, each difference by an entry of its
own, and what a line doesn't have left as it was."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import workspace_of
from chassis.errors import Conflict
from chassis.fields import new_id
from services.budget.ledger import store
from services.budget.ledger.actions import tell_moved, watch
from services.budget.ledger.rules import Amounts, EntryKind, Refused, Standing, taken
from services.budget.rate import store as rates
from services.budget.rate.rules import Rate


@dataclass(frozen=True)
class Revalued:
    """A hold at a day's rate. `problem` is a code that says why it stays as it was."""

    hold: Any
    rate: Rate | None
    difference: int
    problem: str | None = None
    available: int | None = None


async def revalue_all(
    session: AsyncSession, day: date, *, who: str, now: datetime, reason: str, dry: bool
) -> list[Revalued]:
    """Brings each open hold to the rates of a day and says what came of it. What is at this rate already, or at that of
    a later day, isn't touched: run again, it does nothing. `dry` changes nothing, and answers the same."""
    holds = await store.foreign_holds(session)
    found = await _rates(session, holds, day)
    due = [
        Revalued(hold, rate, rate.of(hold.original) - hold.amount)
        for hold in holds
        if (rate := found[hold.currency, hold.line_currency]) is not None
        and rate.day >= hold.rate_on and rate.value != hold.rate
    ]  # fmt: skip
    without = [Revalued(hold, None, 0, "no_rate") for hold in holds if found[hold.currency, hold.line_currency] is None]
    lines = await store.lock_lines(session, (each.hold.line_id for each in due))
    # What gives back comes first, so that as much as possible fits.
    judged = [_judge(lines, each, day) for each in sorted(due, key=lambda each: each.difference)]
    done = [(each, after) for each, after in judged if each.problem is None]
    if done and not dry:
        touched = {after.line_id: after for _, after in done if after}
        entries = [_entry(session, each, after, who, reason, day) for each, after in done if after]
        await store.keep(session, now, touched.values(), entries, [_hold(each) for each, _ in done], anew=False)
        for each, after in done:
            if after:
                await watch(session, after, _change(each), now)
        await tell_moved(session, touched, now)
    return [*(each for each, _ in judged), *without]


async def _rates(session: AsyncSession, holds: Sequence[Any], day: date) -> dict[tuple[str, str], Rate | None]:
    found: dict[tuple[str, str], Rate | None] = {}
    for pair in {(hold.currency, hold.line_currency) for hold in holds}:
        try:
            found[pair] = await rates.rate_of(session, *pair, day)
        except Conflict:
            found[pair] = None
    return found


def _change(each: Revalued) -> Amounts:
    return Amounts(**{each.hold.state: each.difference}, fx=each.difference)


def _judge(lines: dict[UUID, Standing], each: Revalued, day: date) -> tuple[Revalued, Standing | None]:
    if not each.difference:
        return each, None
    after = taken(lines[each.hold.line_id], _change(each), day)
    if isinstance(after, Refused):
        available = after.standing.balance.available
        return Revalued(each.hold, each.rate, each.difference, after.code, available), None
    lines[each.hold.line_id] = after
    return each, after


def _entry(
    session: AsyncSession, each: Revalued, after: Standing, who: str, reason: str, day: date
) -> Mapping[str, Any]:
    change, rate = _change(each), each.rate
    return {
        "workspace_id": workspace_of(session), "id": new_id(), "line_id": after.line_id, "kind": EntryKind.REVALUE,
        **vars(change), "available": change.available, "seq": after.entries,
        **{f"after_{pot}": minor for pot, minor in vars(after.balance).items()},
        "recorded_by": who, "reason": reason, "booked_on": day, "movement_id": new_id(),
        "subject_id": each.hold.subject_id, "original_minor": 0, "original_currency": each.hold.currency,
        "rate": rate and rate.value, "rate_on": rate and rate.day,
    }  # fmt: skip


def _hold(each: Revalued) -> Mapping[str, Any]:
    row = {name: value for name, value in each.hold._mapping.items() if name != "line_currency"}
    assert each.rate is not None  # noqa: S101  # without a rate there is a problem
    return row | {"amount": each.hold.amount + each.difference, "rate": each.rate.value, "rate_on": each.rate.day}
