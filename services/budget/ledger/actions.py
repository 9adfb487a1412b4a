"""Decides how money moves: over one line or several, all of it or nothing; and how something's money is held, from its
reservation to its end. What needs money of a line (requests, contracts) calls these; nothing else writes entries."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import workspace_of, zone_of
from chassis.errors import Conflict, MopsError
from chassis.fields import Money, new_id
from chassis.outbox import Happened, record, record_all
from chassis.telemetry import leaving
from services.budget.ledger import store
from services.budget.ledger.models import Hold, LineLow, LineMoved, LineOverspent
from services.budget.ledger.rules import (
    OPEN,
    Amounts,
    DoesNotFit,
    EntryKind,
    HoldState,
    Leg,
    Original,
    Refused,
    Standing,
    assert_balanced,
    assert_kept,
    runs_low,
    share,
    taken,
    too_much,
)
from services.budget.plan import store as plan
from services.budget.rate import store as rates
from services.budget.rate.rules import Rate


async def today_of(session: AsyncSession, now: datetime) -> date:
    """The workspace's own day."""
    return now.astimezone(ZoneInfo(await zone_of(session))).date()


async def move(
    session: AsyncSession, kind: EntryKind, legs: Sequence[Leg], *, who: str, now: datetime, reason: str = "",
    booked_on: date | None = None, subject_id: UUID | None = None, reverses: Sequence[UUID] = (),
) -> dict[UUID, Amounts]:  # fmt: skip
    """Moves money on the lines that are named, in the order of their ids so that no two movements wait for each other;
    what is on each afterwards. DoesNotFit, with the numbers, when a line doesn't have it; Conflict `period_closed` when
    the day is closed. `reverses` names what each leg takes back."""
    backs: Sequence[UUID | None] = reverses or [None] * len(legs)
    ordered = sorted(zip(legs, backs, strict=True), key=lambda each: each[0].line_id)
    assert_balanced(list(legs))
    day = booked_on or await today_of(session, now)
    movement = new_id()
    after = {}
    for leg, reversed_id in ordered:
        assert_kept(leg.change)
        found = await store.add_entry(
            session, kind, leg, who=who, now=now, reason=reason, booked_on=day, movement_id=movement,
            subject_id=subject_id, reverses=reversed_id,
        )  # fmt: skip
        if found is None:
            raise await why_not(session, leg.line_id, leg.change, day)
        after[leg.line_id] = found.balance
        await watch(session, found, leg.change, now)
    await tell_moved(session, after, now)
    return after


async def why_not(session: AsyncSession, line_id: UUID, change: Amounts, day: date) -> MopsError:
    """What a line has against an entry."""
    found = await store.standing(session, line_id)
    refused = taken(found, change, day)
    return await _why(session, found, change, refused.code if isinstance(refused, Refused) else None, day)


async def _why(session: AsyncSession, found: Standing, change: Amounts, code: str | None, day: date) -> MopsError:
    if code == "too_much":
        return too_much()
    if code == "period_closed":
        return Conflict(f"days before {found.closed_until} are closed; {day} is one of them", code=code)
    if code == "does_not_fit":
        return await does_not_fit(session, found.line_id, found.balance.available, -change.available)
    # Whoever was in the way has let go meanwhile.
    return Conflict("the line has changed at this moment: try again", code=code or "changed_meanwhile")


async def does_not_fit(session: AsyncSession, line_id: UUID, available: int, asked: int) -> DoesNotFit:
    """The refusal with its numbers."""
    currency = (await plan.get_line(session, line_id)).currency
    numbers = {"available": available, "asked": asked, "missing": asked - available}
    told = {name: Money.of_minor(minor, currency).model_dump(mode="json") for name, minor in numbers.items()}
    missing = f"{told['missing']['amount']} {currency}"
    facts = {**told, "currency": currency, "line_id": str(line_id), "missing_text": missing}
    return DoesNotFit(line_id, available, asked, currency, facts)


async def tell_moved(session: AsyncSession, line_ids: Iterable[UUID], now: datetime) -> None:
    """Tells that what is on the accounts of lines has changed; of each once in a transaction, unless what this is part
    of may still be taken back by itself."""
    told: set[UUID] = session.info.setdefault("moved", set())
    new = set(line_ids) - told
    if not session.in_nested_transaction():
        told |= new
    trace = leaving().get("traceparent")
    await record_all(session, [Happened(LineMoved(line_id=each), each, now, trace) for each in new])


async def watch(session: AsyncSession, found: Standing, change: Amounts, now: datetime) -> None:
    """Tells when an entry takes a line below the share that it is watched for, or below zero."""
    after = found.balance
    if after.available < 0 <= after.available - change.available:
        line = await plan.get_line(session, found.line_id)
        missing = Money.of_minor(-after.available, line.currency)
        over = LineOverspent(line_id=line.id, campaign_id=line.campaign_id, missing=missing)
        await record(session, over, line.id, now)
    if runs_low(after + -change, after, found.low_percent):
        line = await plan.get_line(session, found.line_id)
        low = LineLow(
            line_id=line.id, campaign_id=line.campaign_id, available=Money.of_minor(after.available, line.currency),
            allotted=Money.of_minor(after.allotted + after.transferred, line.currency),
        )  # fmt: skip
        await record(session, low, line.id, now)


# --- holds ------------------------------------------------------------------------------------------------------------


async def reserve(
    session: AsyncSession, line_id: UUID, amount: Money, subject_id: UUID, *, who: str, now: datetime, reason: str = "",
    hold_id: UUID | None = None, rate: Rate | None = None,
) -> Hold:  # fmt: skip
    """Sets an amount in any currency aside for something, at today's rate unless one is given; DoesNotFit with the
    numbers when the line doesn't have it. The line is waited for last and so held shortest."""
    if rate is None:
        currency = (await plan.get_line(session, line_id)).currency
        rate = await rates.rate_of(session, amount.currency, currency, await today_of(session, now))
    held = rate.of(amount.minor)
    hold = Hold(
        workspace_id=workspace_of(session), id=hold_id or new_id(), line_id=line_id, subject_id=subject_id,
        state=HoldState.RESERVED, currency=amount.currency, original=amount.minor, amount=held, rate=rate.value,
        rate_on=rate.day, held_at=now, resolved_at=None,
    )  # fmt: skip
    await store.add_hold(session, hold)
    leg = Leg(line_id, Amounts(reserved=held), original_of(hold, amount.minor))
    await move(session, EntryKind.RESERVE, [leg], who=who, now=now, reason=reason, subject_id=subject_id)
    return hold


@dataclass(frozen=True)
class Wanted:
    """Money to set aside on a line, in any currency, at a rate."""

    hold_id: UUID
    line_id: UUID
    minor: int
    rate: Rate

    @property
    def leg(self) -> Leg:
        original = Original(self.minor, self.rate.currency, self.rate.value, self.rate.day)
        return Leg(self.line_id, Amounts(reserved=self.rate.of(self.minor)), original)


@dataclass(frozen=True)
class Reservation:
    """What one subject wants to be set aside: on all lines that it names, or on none."""

    subject_id: UUID
    wanted: Sequence[Wanted]
    who: str
    reason: str


async def reserve_all(
    session: AsyncSession, asked: Sequence[Reservation], now: datetime
) -> tuple[dict[UUID, MopsError], set[UUID]]:
    """Sets money aside for many at once, each judged by what those before it left, as if it had come after them; by
    subject, what was against it, and the lines that were moved, of which the caller tells. Lines are locked once,
    judged by the rules, and written once."""
    day = await today_of(session, now)
    lines = await store.lock_lines(session, (each.line_id for one in asked for each in one.wanted))
    refused: dict[UUID, MopsError] = {}
    made: list[tuple[Reservation, list[tuple[Leg, Standing]]]] = []
    for one in asked:
        found = _taken(lines, [each.leg for each in one.wanted], day)
        if isinstance(found, Refused):
            refused[one.subject_id] = await _why(session, found.standing, found.change, found.code, day)
        else:
            lines |= {after.line_id: after for _, after in found}
            made.append((one, found))
    if not made:
        return refused, set()
    steps = [step for _, found in made for step in found]
    entries = [row for one, found in made for row in _entries(session, one, found, day, now)]
    holds = [_hold_row(session, one, each, now) for one, _ in made for each in one.wanted]
    await store.keep(session, now, {after.line_id: after for _, after in steps}.values(), entries, holds)
    for leg, after in steps:
        await watch(session, after, leg.change, now)
    return refused, {leg.line_id for leg, _ in steps}


def _taken(lines: Mapping[UUID, Standing], legs: Sequence[Leg], day: date) -> list[tuple[Leg, Standing]] | Refused:
    steps: list[tuple[Leg, Standing]] = []
    now = dict(lines)
    for leg in legs:
        found = taken(now[leg.line_id], leg.change, day)
        if isinstance(found, Refused):
            return found
        now[leg.line_id] = found
        steps.append((leg, found))
    return steps


def _entries(
    session: AsyncSession, one: Reservation, steps: Sequence[tuple[Leg, Standing]], day: date, now: datetime
) -> Iterator[dict[str, Any]]:
    movement = new_id()
    for leg, after in steps:
        original = leg.original
        yield {
            "workspace_id": workspace_of(session), "id": new_id(), "line_id": leg.line_id, "kind": EntryKind.RESERVE,
            **vars(leg.change), "available": leg.change.available, "seq": after.entries,
            **{f"after_{pot}": minor for pot, minor in vars(after.balance).items()},
            "recorded_by": one.who, "reason": one.reason, "booked_on": day, "movement_id": movement,
            "subject_id": one.subject_id, "original_minor": original and original.minor,
            "original_currency": original and original.currency, "rate": original and original.rate,
            "rate_on": original and original.rate_on,
        }  # fmt: skip


def _hold_row(session: AsyncSession, one: Reservation, each: Wanted, now: datetime) -> dict[str, Any]:
    return {
        "workspace_id": workspace_of(session), "id": each.hold_id, "line_id": each.line_id,
        "subject_id": one.subject_id, "state": HoldState.RESERVED, "currency": each.rate.currency,
        "original": each.minor, "amount": each.rate.of(each.minor), "rate": each.rate.value,
        "rate_on": each.rate.day, "held_at": now,
    }  # fmt: skip


async def commit(session: AsyncSession, hold: Hold, *, who: str, now: datetime, reason: str = "") -> None:
    """Makes of a reservation an order."""
    if hold.state is not HoldState.RESERVED:
        raise Conflict(f"the reservation is {hold.state}", code="resolved")
    change = Amounts(reserved=-hold.amount, committed=hold.amount)
    hold.state = HoldState.COMMITTED
    await session.flush()
    leg = Leg(hold.line_id, change, original_of(hold, hold.original))
    await move(session, EntryKind.COMMIT, [leg], who=who, now=now, reason=reason, subject_id=hold.subject_id)


async def release(
    session: AsyncSession, hold: Hold, *, who: str, now: datetime, reason: str = "",
    state: HoldState = HoldState.RELEASED, cheaper: bool = False,
) -> bool:  # fmt: skip
    """Lets go of what is still held, reserved or committed; says whether anything was. Done again, it does nothing.
    `cheaper`: it was bought all the same, for less."""
    if hold.state not in OPEN:
        return False
    pot = "reserved" if hold.state is HoldState.RESERVED else "committed"
    change = Amounts(**{pot: -hold.amount}, price=-hold.amount if cheaper else 0)
    original = original_of(hold, -hold.original)
    hold.state, hold.amount, hold.original, hold.resolved_at = state, 0, 0, now
    await session.flush()
    leg = Leg(hold.line_id, change, original)
    await move(session, EntryKind.RELEASE, [leg], who=who, now=now, reason=reason, subject_id=hold.subject_id)
    return True


async def revalue(session: AsyncSession, hold: Hold, rate: Rate, *, who: str, now: datetime, reason: str = "") -> int:
    """Brings what is held in another currency to a rate, and says what that took from the line. From then on it is
    pinned at this one. DoesNotFit when the line doesn't have the difference."""
    difference = rate.of(hold.original) - hold.amount
    pot = "reserved" if hold.state is HoldState.RESERVED else "committed"
    hold.amount, hold.rate, hold.rate_on = hold.amount + difference, rate.value, rate.day
    await session.flush()
    if difference:
        change = Amounts(**{pot: difference}, fx=difference)
        leg = Leg(hold.line_id, change, Original(0, hold.currency, rate.value, rate.day))
        await move(session, EntryKind.REVALUE, [leg], who=who, now=now, reason=reason, subject_id=hold.subject_id)
    return difference


async def spend(
    session: AsyncSession, hold: Hold, minor: int, rate: Rate, *, who: str, now: datetime, booked_on: date,
    subject_id: UUID, reason: str = "",
) -> tuple[int, int]:  # fmt: skip
    """Turns committed money into spent money: `minor` in the hold's currency at a rate. What the rate changed since it
    was pinned is an entry of its own, and so is explained. What is beyond the hold comes out of what is available.
    Answers with what was spent and what of the hold it took, both in the line's currency."""
    covered = min(minor, hold.original)
    part = share(hold.amount, hold.original, covered)
    worth, spent = rate.of(covered), rate.of(minor)
    common: dict[str, Any] = {
        "who": who,
        "now": now,
        "booked_on": booked_on,
        "subject_id": subject_id,
        "reason": reason,
    }
    if worth != part:
        difference = worth - part
        fx = Leg(
            hold.line_id, Amounts(committed=difference, fx=difference), Original(0, hold.currency, rate.value, rate.day)
        )
        await move(session, EntryKind.REVALUE, [fx], **common)
    hold.original, hold.amount = hold.original - covered, hold.amount - part
    if not hold.original:
        hold.state, hold.resolved_at = HoldState.SPENT, now
    await session.flush()
    change = Amounts(committed=-worth, actual=spent, price=spent - worth)
    leg = Leg(hold.line_id, change, Original(minor, hold.currency, rate.value, rate.day))
    await move(session, EntryKind.ACTUAL, [leg], **common)
    return spent, worth


async def take_back(
    session: AsyncSession, hold: Hold, minor: int, worth: int, leg: Leg, *, who: str, now: datetime, subject_id: UUID,
    reason: str,
) -> None:  # fmt: skip
    """Undoes a spending: what came out of the hold goes back into it, at what it was worth; the rest is available."""
    hold.original, hold.amount = hold.original + minor, hold.amount + worth
    hold.state, hold.resolved_at = HoldState.COMMITTED, None
    await session.flush()
    await move(session, EntryKind.REVERSE, [leg], who=who, now=now, reason=reason, subject_id=subject_id)


async def save_nothing(session: AsyncSession, subject_id: UUID, *, who: str, now: datetime, reason: str = "") -> None:
    """Takes back what an order seemed to cost less than it was placed for, as nothing was bought of it in the end."""
    legs = [
        Leg(line_id, Amounts(price=-minor)) for line_id, minor in (await store.saved_of(session, subject_id)).items()
    ]
    if legs:
        await move(session, EntryKind.REVERSE, legs, who=who, now=now, reason=reason, subject_id=subject_id)


def original_of(hold: Hold, minor: int) -> Original:
    return Original(minor, hold.currency, hold.rate, hold.rate_on)
