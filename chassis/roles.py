"""Decides what each role may do: the one table, for the gateway's own tokens and for those of other issuers."""

from collections.abc import Iterable
from enum import StrEnum

SERVICES = ("goals", "assets", "budget", "metrics")


class Role(StrEnum):
    ADMIN = "admin"
    MANAGER = "manager"
    SPECIALIST = "specialist"
    CONTRIBUTOR = "contributor"
    STAKEHOLDER = "stakeholder"


# `workspace:read` shows the workspace and its people's names.
_READ = frozenset({"workspace:read", *(f"{service}:read" for service in SERVICES)})
_WRITE = frozenset(f"{service}:write" for service in SERVICES)
_PEOPLE = frozenset({"budget:people", "metrics:people"})

# `...:people` shows addresses; `...:approve` decides what others asked for.
SCOPES: dict[Role, frozenset[str]] = {
    Role.STAKEHOLDER: _READ,
    Role.CONTRIBUTOR: _READ | {"goals:contribute"},
    Role.SPECIALIST: _READ | _WRITE | {"goals:contribute"} | _PEOPLE,
    Role.MANAGER: _READ | _WRITE
    | {"goals:contribute", "goals:approve", "assets:approve", "budget:approve"} | _PEOPLE,
    Role.ADMIN: _READ | _WRITE
    | {"goals:contribute", "goals:approve", "assets:approve", "budget:approve"} | _PEOPLE
    | {"identity:read", "identity:write", "audit:read", "jobs:read", "jobs:write"},
}  # fmt: skip
ALL_SCOPES = sorted(frozenset().union(*SCOPES.values()))


def scopes_of(roles: Iterable[str]) -> frozenset[str]:
    """All that the roles together may do."""
    return frozenset().union(*(SCOPES[Role(role)] for role in roles))
