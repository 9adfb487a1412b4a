"""Decides what an access token says (RFC 9068)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from joserfc import jwt
from joserfc.jwk import OKPKey

from chassis.fields import new_id
from chassis.tokens import AUDIENCE


@dataclass(frozen=True)
class Grant:
    """What a token will say."""

    subject: str
    client_id: str
    workspace_id: UUID | None
    roles: Sequence[str]
    scopes: Sequence[str]
    lifetime: timedelta


def access_token(grant: Grant, key: OKPKey, issuer: str, now: datetime) -> str:
    """The grant as a signed token."""
    claims = {
        "iss": issuer, "aud": AUDIENCE, "sub": grant.subject, "client_id": grant.client_id, "jti": str(new_id()),
        "iat": int(now.timestamp()), "exp": int((now + grant.lifetime).timestamp()),
        "roles": list(grant.roles), "scope": " ".join(grant.scopes),
    }  # fmt: skip
    if grant.workspace_id is not None:
        claims["workspace_id"] = str(grant.workspace_id)
    header = {"alg": "Ed25519", "typ": "at+jwt", "kid": key.kid}
    return jwt.encode(header, claims, key, algorithms=["Ed25519"])
