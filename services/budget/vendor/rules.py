"""Decides what standing a vendor can have, and when one can be removed."""

from enum import StrEnum

from chassis.errors import Conflict


class VendorStatus(StrEnum):
    """`prospect`: nothing is signed yet. `blocked`: nothing new may be signed."""

    PROSPECT = "prospect"
    ACTIVE = "active"
    BLOCKED = "blocked"
    FORMER = "former"


def assert_may_sign(status: VendorStatus) -> None:
    """Raises Conflict `blocked` when no new contract may be made with a vendor."""
    if status is VendorStatus.BLOCKED:
        raise Conflict("the vendor is blocked: nothing new may be signed with it", code="blocked")


def assert_removable(contracts: int, obligations: int) -> None:
    """Raises Conflict `in_use` while anything hangs on a vendor: what was promised stays on record."""
    if contracts or obligations:
        raise Conflict(f"{contracts} contracts and {obligations} obligations hang on it", code="in_use")
