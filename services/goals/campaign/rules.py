"""Decides which states a campaign can be in, what leads from one to the next, and what its dates do by themselves."""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from chassis.errors import Conflict, Invalid


class CampaignState(StrEnum):
    IDEA = "idea"
    PLANNED = "planned"
    APPROVED = "approved"
    LIVE = "live"
    PAUSED = "paused"
    COMPLETED = "completed"
    ARCHIVED = "archived"
    CANCELLED = "cancelled"


class Channel(StrEnum):
    EMAIL = "email"
    SOCIAL = "social"
    SEARCH = "search"
    DISPLAY = "display"
    VIDEO = "video"
    EVENT = "event"
    PRINT = "print"
    WEB = "web"


class CampaignVerb(StrEnum):
    PLAN = "plan"
    APPROVE = "approve"
    PAUSE = "pause"
    RESUME = "resume"
    COMPLETE = "complete"
    ARCHIVE = "archive"
    CANCEL = "cancel"


_STATES = frozenset(CampaignState)
CLOSED = frozenset({CampaignState.COMPLETED, CampaignState.ARCHIVED, CampaignState.CANCELLED})
BEGUN = frozenset({CampaignState.LIVE, CampaignState.PAUSED})
# What is on its way: dates have effects on it.
DATED = frozenset({CampaignState.APPROVED}) | BEGUN

MOVES: dict[CampaignVerb, tuple[frozenset[CampaignState], CampaignState]] = {
    CampaignVerb.PLAN: (frozenset({CampaignState.IDEA}), CampaignState.PLANNED),
    CampaignVerb.APPROVE: (frozenset({CampaignState.PLANNED}), CampaignState.APPROVED),
    CampaignVerb.PAUSE: (frozenset({CampaignState.LIVE}), CampaignState.PAUSED),
    CampaignVerb.RESUME: (frozenset({CampaignState.PAUSED}), CampaignState.LIVE),
    CampaignVerb.COMPLETE: (BEGUN, CampaignState.COMPLETED),
    CampaignVerb.ARCHIVE: (frozenset({CampaignState.COMPLETED}), CampaignState.ARCHIVED),
    CampaignVerb.CANCEL: (_STATES - {CampaignState.CANCELLED}, CampaignState.CANCELLED),
}

# The parts that have something to undo when a campaign is cancelled, and say so when it is done.
ACT_ON_CANCELLATION = ("budget",)


@dataclass(frozen=True)
class Flight:
    """The days from `start` up to but without `end`, in the workspace's zone."""

    start: date
    end: date


def moved(state: CampaignState, verb: CampaignVerb) -> CampaignState:
    """The state that a verb leads to; Conflict `wrong_state` where it leads nowhere."""
    sources, target = MOVES[verb]
    if state not in sources:
        allowed = " or ".join(sorted(sources))
        raise Conflict(f"the campaign is {state}; to {verb} it, it must be {allowed}", code="wrong_state")
    return target


def assert_serves(goals: int) -> None:
    """Raises Conflict `no_goal` unless a campaign serves a goal: never a project that serves none."""
    if goals == 0:
        raise Conflict("no goal is measured over this campaign; name it in a goal's campaign_ids first", code="no_goal")


def assert_ahead(flight: Flight, today: date) -> None:
    """Raises Conflict `flight_over` when a campaign would begin after its end."""
    if today >= flight.end:
        raise Conflict(f"its flight ended on {flight.end}; move it first", code="flight_over")


def due_state(state: CampaignState, flight: Flight, today: date) -> CampaignState | None:
    """The state that the date leads to next: an approved campaign goes live when its flight starts, and one that has
    begun is completed when it ends. None when nothing is due."""
    if state is CampaignState.APPROVED and today >= flight.start:
        return CampaignState.LIVE
    if state in BEGUN and today >= flight.end:
        return CampaignState.COMPLETED
    return None


def assert_editable(state: CampaignState) -> None:
    """Raises Conflict `closed` when a campaign is over: what it was stays on record."""
    if state in CLOSED:
        raise Conflict(f"the campaign is {state} and stays as it was", code="closed")


def assert_movable(state: CampaignState, old: Flight, new: Flight, today: date) -> None:
    """Raises Invalid, naming the field, when a flight would change days that are past: a campaign that has begun keeps
    its start, and what is approved or has begun doesn't end before tomorrow."""
    if state in BEGUN and new.start != old.start:
        raise Invalid.field("flight.start", f"it began on {old.start}", "begun")
    if state in DATED and new != old and new.end <= today:
        raise Invalid.field("flight.end", "it would be over already; complete or cancel it instead", "past")
