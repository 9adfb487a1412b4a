"""Decides which states a member can be in, whom tokens can mean, and who may change whose roles."""

from collections.abc import Collection
from enum import StrEnum
from uuid import UUID

from chassis.errors import Conflict, Forbidden
from chassis.roles import scopes_of

LOCAL_PREFIX = "member:"


class MemberState(StrEnum):
    ACTIVE = "active"
    SUSPENDED = "suspended"
    REMOVED = "removed"


NEXT = {
    MemberState.ACTIVE: {MemberState.SUSPENDED, MemberState.REMOVED},
    MemberState.SUSPENDED: {MemberState.ACTIVE, MemberState.REMOVED},
    MemberState.REMOVED: set(),
}


def moved(state: MemberState, to: MemberState) -> MemberState:
    """The state after a step; being there already is no step. Conflict when none leads there."""
    if to != state and to not in NEXT[state]:
        raise Conflict(f"a {state} member can't become {to}", code="wrong_state")
    return to


def local_subject(member_id: UUID) -> str:
    """Of somebody who is known here and doesn't sign in."""
    return f"{LOCAL_PREFIX}{member_id}"


def refuse_own_rise(caller: str, subject: str, before: Collection[str], after: Collection[str]) -> None:
    """Forbidden when somebody would raise their own roles, whatever the token says that they still hold."""
    if caller == subject and not scopes_of(after) <= scopes_of(before):
        raise Forbidden("nobody raises their own roles; ask another admin", code="own_roles")


def lets_others_in(subject: str, state: MemberState, roles: Collection[str]) -> bool:
    return state == MemberState.ACTIVE and "identity:write" in scopes_of(roles) and not subject.startswith(LOCAL_PREFIX)
