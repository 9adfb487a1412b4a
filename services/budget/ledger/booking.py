"""Decides how many entries are booked at once, as imports need it: each as if it had come by itself after those before
it, with one lock, one judgement by the rules, and one statement for all."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import workspace_of
from services.budget.ledger import store
from services.budget.ledger.actions import tell_moved, watch
from services.budget.ledger.rules import EntryKind, Leg, Refused, Standing, taken


@dataclass(frozen=True)
class Booking:
    """An entry to come: its id, what it does to its line, the day that it counts in, and what it takes back."""

    id: UUID
    leg: Leg
    booked_on: date
    reason: str = ""
    reverses: UUID | None = None


async def book(
    session: AsyncSession, kind: EntryKind, bookings: Sequence[Booking], *, who: str, now: datetime, subject_id: UUID
) -> dict[UUID, str]:
    """Books what each line takes, in the order given; of what is refused, why: a code by the booking's id. `not_spent`:
    more would come back than was ever spent on the line."""
    lines = await store.lock_lines(session, (each.leg.line_id for each in bookings))
    refused: dict[UUID, str] = {}
    made: list[tuple[Booking, Standing]] = []
    for each in bookings:
        change = each.leg.change
        found = taken(lines[each.leg.line_id], change, each.booked_on)
        if isinstance(found, Refused):
            refused[each.id] = found.code
        elif kind is EntryKind.ACTUAL and change.actual < 0 and found.balance.actual < 0:
            refused[each.id] = "not_spent"
        else:
            lines[each.leg.line_id] = found
            made.append((each, found))
    if made:
        touched = {after.line_id: after for _, after in made}
        await store.keep(session, now, touched.values(), list(_entries(session, kind, made, who, subject_id)))
        for each, after in made:
            await watch(session, after, each.leg.change, now)
        await tell_moved(session, touched, now)
    return refused


def _entries(
    session: AsyncSession, kind: EntryKind, made: Sequence[tuple[Booking, Standing]], who: str, subject_id: UUID
) -> Iterator[dict[str, Any]]:
    for each, after in made:
        change, original = each.leg.change, each.leg.original
        yield {
            "workspace_id": workspace_of(session), "id": each.id, "line_id": each.leg.line_id, "kind": kind.value,
            **vars(change), "available": change.available, "seq": after.entries,
            **{f"after_{pot}": minor for pot, minor in vars(after.balance).items()},
            "recorded_by": who, "reason": each.reason, "booked_on": each.booked_on, "subject_id": subject_id,
            "reverses": each.reverses, "original_minor": original and original.minor,
            "original_currency": original and original.currency, "rate": original and original.rate,
            "rate_on": original and original.rate_on,
        }  # fmt: skip
