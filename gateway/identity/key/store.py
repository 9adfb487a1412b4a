"""Decides how signing keys are kept: the public half for everybody, the private one sealed (worker transactions)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from joserfc.jwk import KeySet, OKPKey
from sqlalchemy import delete, insert, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.secrets import Sealer
from gateway.identity.key.models import signing_key
from gateway.identity.key.rules import Turn

ALGORITHM: Literal["Ed25519"] = "Ed25519"
PURPOSE = "signing-keys"


@dataclass(frozen=True)
class StoredKey:
    kid: str
    public: Mapping[str, Any]
    sealed: bytes
    created_at: datetime
    signs_from: datetime

    @property
    def turn(self) -> Turn:
        return Turn(self.kid, self.signs_from)


async def hold(session: AsyncSession) -> None:
    """Lets no other replica add or take away keys until this transaction ends."""
    await session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('mops signing keys', 0))"))


async def load_keys(session: AsyncSession) -> list[StoredKey]:
    """All keys, the oldest first."""
    rows = await session.execute(select(signing_key).order_by(signing_key.c.signs_from, signing_key.c.kid))
    return [StoredKey(row.kid, row.public, row.sealed, row.created_at, row.signs_from) for row in rows.all()]


async def add_key(session: AsyncSession, key: OKPKey, sealer: Sealer, now: datetime, signs_from: datetime) -> StoredKey:
    kid = str(key.kid)
    public = {**key.as_dict(private=False), "kid": kid, "use": "sig", "alg": ALGORITHM}
    sealed = sealer.seal(json.dumps(key.as_dict(private=True)).encode(), kid)
    await session.execute(
        insert(signing_key).values(kid=kid, public=public, sealed=sealed, created_at=now, signs_from=signs_from)
    )
    return StoredKey(kid, public, sealed, now, signs_from)


async def forget_keys(session: AsyncSession, kids: list[str]) -> None:
    await session.execute(delete(signing_key).where(signing_key.c.kid.in_(kids)))


def new_key() -> OKPKey:
    return OKPKey.generate_key(ALGORITHM, {"use": "sig", "alg": ALGORITHM}, private=True, auto_kid=True)


def given_key(jwks: str) -> OKPKey | None:
    """The first key of a private JWKS that the installation was given, if it was."""
    key = KeySet.import_key_set(json.loads(jwks)).keys[0] if jwks else None
    if key is not None and not isinstance(key, OKPKey):
        raise TypeError(f"MOPS_SIGNING_KEYS must hold an {ALGORITHM} key")
    return key


def opened(stored: StoredKey, sealer: Sealer) -> OKPKey:
    """The private key, for the moment of signing."""
    return OKPKey.import_key(json.loads(sealer.open(stored.sealed, stored.kid)))
