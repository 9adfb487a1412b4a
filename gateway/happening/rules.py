"""Decides what of all that happens somebody may hear of: what comes from parts that they may read."""

from collections.abc import Collection

from chassis.roles import SERVICES

# What a part tells of is as open as what it is read by; of the gateway that is the workspace itself.
SCOPE = {"gateway": "workspace:read", **{part: f"{part}:read" for part in SERVICES}}


def heard_by(scopes: Collection[str]) -> list[str]:
    """The parts whose events these scopes may hear."""
    return [part for part, needed in SCOPE.items() if needed in scopes]


def part_of(event_type: str) -> str:
    """Who tells of it: `goals` of `goals.campaign.created`."""
    return event_type.partition(".")[0]
