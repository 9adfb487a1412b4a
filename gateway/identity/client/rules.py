"""Decides what a client's secret looks like, which secrets are taken, and what a client may be given."""

import hashlib
import hmac
import secrets
import zlib
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from chassis.errors import Invalid
from chassis.roles import scopes_of

SECRET_PREFIX = "mops_"  # noqa: S105  # what a leaked secret can be found by
# How exactly last use is known; more exactly would be a write per token.
USE_GRAIN = timedelta(minutes=1)
# Compared with where there is no client: whoever guesses ids learns nothing from the time that it takes.
NOBODY = bytes(32)


def new_client_secret() -> str:
    """`mops_` + 192 random bits + 8 hex digits of CRC-32, by which a scanner tells a real one from a look-alike."""
    body = secrets.token_urlsafe(24)
    return f"{SECRET_PREFIX}{body}{zlib.crc32(body.encode()):08x}"


def hash_secret(secret: str) -> bytes:
    """SHA-256 is enough: 192 random bits can't be guessed, slowly or fast."""
    return hashlib.sha256(secret.encode()).digest()


def secret_matches(secret: str, live: Sequence[bytes]) -> bool:
    """Whether it is one of the live secrets; as much work whoever asks, and however many there are."""
    hashed = hash_secret(secret)
    newest, older = (*live, NOBODY, NOBODY)[:2]
    return hmac.compare_digest(hashed, newest) | hmac.compare_digest(hashed, older)


def live_secrets(newest: bytes, older: bytes | None, older_ends_at: datetime | None, now: datetime) -> list[bytes]:
    """The secrets that are taken now: the newest, and until it ends the one before."""
    return [newest, older] if older and older_ends_at and now < older_ends_at else [newest]


def allowed_scopes(roles: Iterable[str], narrowed: Sequence[str] | None) -> frozenset[str]:
    """What a client may have: all of its roles' scopes, or those of them that it was narrowed to."""
    whole = scopes_of(roles)
    return whole if narrowed is None else whole & frozenset(narrowed)


def lets_others_in(scopes: frozenset[str], expires_at: datetime | None, revoked_at: datetime | None) -> bool:
    """Whether it is a way into the workspace that doesn't end by itself."""
    return "identity:write" in scopes and expires_at is None and revoked_at is None


def refuse_pointless(
    roles: Iterable[str], narrowed: Sequence[str] | None, ends: datetime | None, now: datetime
) -> None:
    """Invalid for scopes that the roles don't have, and for a client that has ended already."""
    beyond = sorted(set(narrowed or ()) - scopes_of(roles))
    if beyond:
        raise Invalid.field("scopes", f"these roles don't have {' '.join(beyond)}", "beyond_roles")
    if ends is not None and ends <= now:
        raise Invalid.field("expires_at", "this time has passed", "past")
