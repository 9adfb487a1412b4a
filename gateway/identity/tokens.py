"""Decides what an access token says (RFC 9068) and which of our keys signs it."""

import json
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from joserfc import jwt
from joserfc.jwk import KeySet
from pydantic import SecretStr

from chassis.fields import new_id
from chassis.identity import AUDIENCE

CLIENT_LIFETIME = timedelta(hours=1)
SERVICE_LIFETIME = timedelta(minutes=5)


class Signer:
    """The gateway's private keys: the first signs, all are published."""

    def __init__(self, keys: SecretStr, issuer: str) -> None:
        self._keys = KeySet.import_key_set(json.loads(keys.get_secret_value()))
        self._issuer = issuer

    def public(self) -> dict[str, Any]:
        """The JWKS that services check tokens with."""
        document: dict[str, Any] = dict(self._keys.as_dict(private=False))
        return {"keys": [{**key, "use": "sig", "alg": "Ed25519"} for key in document["keys"]]}

    def sign(
        self, subject: str, client_id: str, workspace_id: UUID | None, roles: list[str], scopes: list[str],
        now: datetime, lifetime: timedelta,
    ) -> str:  # fmt: skip
        """A signed access token."""
        key = self._keys.keys[0]
        claims = {
            "iss": self._issuer, "aud": AUDIENCE, "sub": subject, "client_id": client_id, "jti": str(new_id()),
            "iat": int(now.timestamp()), "exp": int((now + lifetime).timestamp()),
            "roles": roles, "scope": " ".join(scopes),
        }  # fmt: skip
        if workspace_id is not None:
            claims["workspace_id"] = str(workspace_id)
        header = {"alg": "Ed25519", "typ": "at+jwt", "kid": key.kid}
        return jwt.encode(header, claims, key, algorithms=["Ed25519"])
