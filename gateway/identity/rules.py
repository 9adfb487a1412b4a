"""Decides what roles may do, what a client secret looks like, and what a token grants."""

import hashlib
import hmac
import secrets
import zlib
from collections.abc import Iterable, Sequence
from enum import StrEnum

from chassis.errors import Invalid

SECRET_PREFIX = "mops_"  # noqa: S105  # what a leaked secret can be found by
SERVICES = ("goals", "assets", "budget", "metrics")


class Role(StrEnum):
    ADMIN = "admin"
    MANAGER = "manager"
    SPECIALIST = "specialist"
    CONTRIBUTOR = "contributor"
    STAKEHOLDER = "stakeholder"


_READ = frozenset(f"{service}:read" for service in SERVICES)
_WRITE = frozenset(f"{service}:write" for service in SERVICES)

# `metrics:people` shows addresses; `goals:approve` and `budget:approve` decide what others asked for.
SCOPES: dict[Role, frozenset[str]] = {
    Role.STAKEHOLDER: _READ,
    Role.CONTRIBUTOR: _READ | {"goals:contribute"},
    Role.SPECIALIST: _READ | _WRITE | {"goals:contribute", "metrics:people"},
    Role.MANAGER: _READ | _WRITE | {"goals:contribute", "goals:approve", "budget:approve", "metrics:people"},
    Role.ADMIN: _READ | _WRITE
    | {"goals:contribute", "goals:approve", "budget:approve", "metrics:people"}
    | {"identity:read", "identity:write", "audit:read", "jobs:read", "jobs:write"},
}  # fmt: skip
ALL_SCOPES = sorted(frozenset().union(*SCOPES.values()))


def new_client_secret() -> str:
    """`mops_` + 192 random bits + 8 hex digits of CRC-32, by which a scanner tells a real one from a look-alike."""
    body = secrets.token_urlsafe(24)
    return f"{SECRET_PREFIX}{body}{zlib.crc32(body.encode()):08x}"


def hash_secret(secret: str) -> bytes:
    """SHA-256 is enough: 192 random bits can't be guessed, slowly or fast."""
    return hashlib.sha256(secret.encode()).digest()


def secret_matches(secret: str, stored: bytes) -> bool:
    return hmac.compare_digest(hash_secret(secret), stored)


def scopes_of(roles: Iterable[str]) -> frozenset[str]:
    """All that the roles together may do."""
    return frozenset().union(*(SCOPES[Role(role)] for role in roles))


def granted(allowed: frozenset[str], asked: Sequence[str]) -> list[str]:
    """The scopes of a token: all that are allowed, or those asked for; Invalid when one isn't allowed."""
    beyond = sorted(set(asked) - allowed)
    if beyond:
        raise Invalid.field("scope", f"this client may not have {' '.join(beyond)}", "invalid_scope")
    return sorted(set(asked) or allowed)
