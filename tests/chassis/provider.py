"""Decides what an OpenID Connect provider is to a test: a real app that publishes keys, and tokens of any shape."""

import asyncio
import base64
import hmac
import json
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from fastapi import FastAPI, Request, Response
from joserfc import jws
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

Key = RSAKey | ECKey | OKPKey | OctKey
WORKSPACE = "0197c0de-0000-7000-8000-000000000001"


def b64(plain: bytes) -> str:
    return base64.urlsafe_b64encode(plain).decode().rstrip("=")


def signed(
    header: dict[str, Any], claims: dict[str, Any] | bytes, key: Key | bytes, algorithm: str | None = None
) -> str:
    """A token as its maker likes it: nothing about it is checked."""
    body = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    start = f"{b64(json.dumps(header).encode())}.{b64(body)}"
    if isinstance(key, bytes):
        signature = hmac.digest(key, start.encode(), "sha256")
    else:
        signature = jws.JWSRegistry.algorithms[header["alg"]].sign(start.encode(), key)
    return f"{start}.{b64(signature)}"


@cache
def _keys(prefix: str) -> dict[str, Key]:
    return {
        f"{prefix}rsa": RSAKey.generate_key(2048, {"kid": f"{prefix}rsa", "alg": "RS256"}),
        f"{prefix}ec": ECKey.generate_key("P-256", {"kid": f"{prefix}ec"}),
        f"{prefix}ed": OKPKey.generate_key("Ed25519", {"kid": f"{prefix}ed"}),
    }


@dataclass
class Provider:
    """An issuer with one RSA, one EC and one Ed25519 key. `said` may change what its discovery document says."""

    url: str
    now: int
    prefix: str = ""
    fetched: list[str] = field(default_factory=list)
    said: dict[str, Any] = field(default_factory=dict)
    answers: dict[str, Response] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.keys = dict(_keys(self.prefix))
        self.app = FastAPI()

        @self.app.get("/{path:path}")
        async def answer(path: str, request: Request) -> Any:
            self.fetched.append(path)
            await asyncio.sleep(0)  # others have their turn meanwhile, as over any network
            if path in self.answers:
                return self.answers[path]
            if path == "keys":
                return {"keys": [key.as_dict(private=False) for key in self.keys.values()]}
            return {"issuer": self.url, "jwks_uri": f"{self.url}/keys", **self.said}

    def claims(self, **change: Any) -> dict[str, Any]:
        whole = {
            "iss": self.url, "aud": "mops", "sub": "00u1", "iat": self.now, "exp": self.now + 600,
            "groups": ["Marketing Ops", "Everybody"],
        }  # fmt: skip
        return {name: value for name, value in {**whole, **change}.items() if value is not None}

    def token(self, kid: str = "rsa", algorithm: str = "RS256", header: dict[str, Any] | None = None, **c: Any) -> str:
        full = {"alg": algorithm, "typ": "at+jwt", "kid": kid, **(header or {})}
        return signed(full, self.claims(**c), self.keys[kid])
