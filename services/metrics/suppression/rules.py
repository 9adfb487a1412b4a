"""Decides who isn't written to any more, why, and what lifts it."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from chassis.errors import Conflict
from services.metrics.event.rules import EventType, EventVerdict

TICK = timedelta(microseconds=1)


class SuppressionReason(StrEnum):
    BOUNCE = "bounce"
    COMPLAINT = "complaint"
    UNSUBSCRIBE = "unsubscribe"
    BY_HAND = "by_hand"


class SuppressionState(StrEnum):
    ACTIVE = "active"
    # A machine asked for it, so nobody may have: it waits for somebody to say so.
    HELD = "held"
    LIFTED = "lifted"


REASONS = {
    EventType.BOUNCED: SuppressionReason.BOUNCE,
    EventType.COMPLAINED: SuppressionReason.COMPLAINT,
    EventType.UNSUBSCRIBED: SuppressionReason.UNSUBSCRIBE,
}


@dataclass(frozen=True)
class Sign:
    """An event that says whom (not) to write to."""

    event_id: UUID
    source_id: UUID
    address_hash: bytes
    type: EventType
    at: datetime
    verdict: EventVerdict

    @property
    def by_machine(self) -> bool:
        return self.verdict is EventVerdict.BOT


def judged(sign: Sign, by_machine: bool) -> Sign:
    return replace(sign, verdict=EventVerdict.BOT) if by_machine else sign


@dataclass(frozen=True)
class Known:
    """The latest that is known of one reason of one address: when a person asked for it, when a machine did, when it
    was taken back. Each only moves on, so that the order in which signs come makes no difference."""

    asked_at: datetime | None = None
    held_at: datetime | None = None
    lifted_at: datetime | None = None
    # Of the latest that asked.
    event_id: UUID | None = None
    source_id: UUID | None = None

    def state(self) -> SuppressionState:
        if _later(self.asked_at, self.lifted_at):
            return SuppressionState.ACTIVE
        return SuppressionState.HELD if _later(self.held_at, self.lifted_at) else SuppressionState.LIFTED

    def since(self) -> datetime:
        """When it became what it is."""
        of_state = {
            SuppressionState.ACTIVE: self.asked_at,
            SuppressionState.HELD: self.held_at,
            SuppressionState.LIFTED: self.lifted_at,
        }[self.state()]
        assert of_state is not None  # noqa: S101  # something is known, or there would be nothing
        return of_state


def _later(at: datetime | None, other: datetime | None) -> bool:
    return at is not None and (other is None or at > other)


def reason_of(sign: Sign) -> SuppressionReason:
    """What a sign is about. To subscribe takes back that one has unsubscribed, and nothing else."""
    return REASONS.get(sign.type, SuppressionReason.UNSUBSCRIBE)


def after(known: Known, sign: Sign) -> Known:
    """What is known once this sign is."""
    if sign.type is EventType.SUBSCRIBED:
        if sign.by_machine or not _later(sign.at, known.lifted_at):
            return known
        return replace(known, lifted_at=sign.at)
    latest = max((at for at in (known.asked_at, known.held_at) if at), default=None)
    if _later(sign.at, latest):
        known = replace(known, event_id=sign.event_id, source_id=sign.source_id)
    if sign.by_machine:
        return replace(known, held_at=sign.at) if _later(sign.at, known.held_at) else known
    return replace(known, asked_at=sign.at) if _later(sign.at, known.asked_at) else known


def revised(known: Known, sign: Sign, people_s_last: datetime | None) -> Known:
    """What is known once it turns out that a machine made the event that somebody was thought to have asked by:
    `people_s_last` is when a person last did."""
    return after(replace(known, asked_at=people_s_last) if known.asked_at == sign.at else known, sign)


def asked(known: Known, now: datetime) -> Known:
    """What is known once somebody here asks for it: it holds, whatever was taken back, by however fast a clock."""
    late = known.lifted_at is not None and known.lifted_at >= now
    return replace(known, asked_at=known.lifted_at + TICK if late and known.lifted_at else now)


def confirmed(known: Known, now: datetime) -> Known:
    """What was held holds; to hold already is fine."""
    if known.state() is SuppressionState.LIFTED:
        raise Conflict("this suppression is lifted", code="suppression_lifted")
    return known if known.state() is SuppressionState.ACTIVE else asked(known, now)


def lifted(known: Known, reason: SuppressionReason, now: datetime) -> Known:
    """What was asked for or held may be taken back; a complaint never is."""
    if reason is SuppressionReason.COMPLAINT and known.state() is SuppressionState.ACTIVE:
        raise Conflict("who complained isn't written to again", code="complained")
    if known.state() is SuppressionState.LIFTED:
        return known
    # What a fast clock says of later is taken back, too.
    return replace(known, lifted_at=max(at for at in (now, known.asked_at, known.held_at) if at))
