"""Decides how money comes to another line: as somebody proposes and somebody else approves."""

from enum import StrEnum

from chassis.errors import Conflict, Forbidden


class TransferState(StrEnum):
    PROPOSED = "proposed"
    APPROVED = "approved"
    REJECTED = "rejected"


def assert_may_decide(state: TransferState, proposed_by: str, who: str) -> None:
    """Raises Conflict when it is decided, Forbidden when it is one's own."""
    if state is not TransferState.PROPOSED:
        raise Conflict(f"the transfer is {state}", code="decided")
    if proposed_by == who:
        raise Forbidden("nobody decides on a transfer of their own", code="four_eyes")
