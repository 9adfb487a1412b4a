"""Decides whether an access token holds: who issued it, which key signed it, and what it claims."""

import asyncio
import base64
import binascii
import json
import logging
import math
import time
import warnings
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
from joserfc import jws
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import JWKRegistry
from sqlalchemy.exc import SQLAlchemyError

from chassis.errors import Forbidden, Unauthenticated, Unavailable
from chassis.issuers import TrustedIssuer
from chassis.problems import told
from chassis.roles import scopes_of

log = logging.getLogger("mops.tokens")

AUDIENCE = "mops"
SERVICE_PREFIX = "service:"
LARGEST_TOKEN = 16 * 1024
LONGEST_SUBJECT = 255
CLOCK_SKEW_SECONDS = 60
# Keys are looked at anew this often, so that a withdrawn one is trusted no longer than that.
KEYS_AGE_SECONDS = 300.0
# Unknown key ids, which anybody can make up, cause no more than one look in so many seconds.
OWN_PAUSE_SECONDS, FOREIGN_PAUSE_SECONDS = 2.0, 10.0
REMEMBERED_TOKENS = 2048
OWN_ALGORITHMS = ("Ed25519",)
# Kinds and curves of keys that are taken. Symmetric ones aren't here: what is published is no secret.
KEY_KINDS = {("RSA", None), ("EC", "P-256"), ("OKP", "Ed25519")}
SMALLEST_RSA_BITS = 2048
# Only ID tokens have these: they say who somebody is to another program, not what may be done here.
ID_TOKEN_CLAIMS = {"nonce", "at_hash", "c_hash"}
# The gateway reads its own from its database.
FETCH_PROBLEMS = (httpx.HTTPError, SQLAlchemyError, OSError, ValueError)


@dataclass(frozen=True)
class Principal:
    """Who calls, for which workspace, and what they may do. `issuer` names a foreign one; ours is empty."""

    subject: str
    workspace: UUID | None
    roles: frozenset[str]
    scopes: frozenset[str]
    expires_at: float
    issuer: str = ""

    @property
    def workspace_id(self) -> UUID:
        """The token's workspace; a service's own token has none until it asks for one."""
        if self.workspace is None:
            raise Forbidden("this token belongs to no workspace; ask for one with workspace_id", code="no_workspace")
        return self.workspace

    @property
    def is_service(self) -> bool:
        return self.subject.startswith(SERVICE_PREFIX)


class Keys:
    """One issuer's public keys by id, looked at anew when one is missing or they are old; the last ones stay in use
    while the issuer is away."""

    def __init__(self, fetch: Callable[[], Awaitable[Any]], pause_seconds: float, ticks: Callable[[], float]) -> None:
        self.fetch = fetch
        self.known: dict[str, Any] = {}
        self._pause_seconds = pause_seconds
        self._ticks = ticks
        self._asked = self._learned = float("-inf")
        self._turn = asyncio.Lock()

    def trust(self, jwks: Any) -> None:
        """Replaces all keys by those of a JWKS that can sign; what isn't one of these is passed over."""
        if not isinstance(jwks, Mapping) or not isinstance(jwks.get("keys"), list):
            raise ValueError("not a JWKS")
        found = (_usable(each) for each in jwks["keys"])
        self.known = {key.kid: key for key in found if key is not None}
        self._learned = self._ticks()

    async def refresh(self) -> None:
        self.trust(await self.fetch())

    def _due(self, kid: str) -> bool:
        now = self._ticks()
        old = now - self._learned > KEYS_AGE_SECONDS
        return (old or kid not in self.known) and now - self._asked > self._pause_seconds

    async def get(self, kid: object) -> Any:
        """The key of this id, which only ever indexes what the issuer has published."""
        if not isinstance(kid, str):
            raise Unauthenticated("the token doesn't say which key signed it")
        # Whoever comes while they are being fetched waits for them, rather than being refused for want of them.
        if self._due(kid) or (kid not in self.known and self._turn.locked()):
            async with self._turn:
                if self._due(kid):
                    self._asked = self._ticks()
                    try:
                        await self.refresh()
                    except FETCH_PROBLEMS as problem:
                        log.warning("keys_not_fetched", extra={"why": told(problem)})
        if not self.known:
            raise Unavailable("the keys that sign tokens can't be fetched yet", code="no_keys")
        if kid not in self.known:
            raise Unauthenticated("the token is signed by a key that isn't known here")
        return self.known[kid]


def _usable(said: Any) -> Any:
    """The key, if it can check a signature that is taken anywhere here."""
    if not isinstance(said, dict) or not isinstance(said.get("kid"), str) or said.get("use", "sig") != "sig":
        return None
    if (said.get("kty"), said.get("crv")) not in KEY_KINDS:
        return None
    try:
        key = JWKRegistry.import_key(said)
        if said["kty"] == "RSA" and key.public_key.key_size < SMALLEST_RSA_BITS:  # type: ignore[union-attr]
            return None
    except (JoseError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return key


@dataclass(frozen=True)
class _Source:
    """An issuer, and how its tokens are read."""

    audience: str
    algorithms: Sequence[str]
    types: frozenset[str]
    keys: Keys
    read: Callable[[dict[str, Any], str, float], Principal]


class Verifier:
    """Checks access tokens (RFC 9068) against what their issuer has published: ours, or one that is trusted beside."""

    def __init__(
        self, issuer: str, http: httpx.AsyncClient, clock: Callable[[], float] = time.time, *,
        trusted: Sequence[TrustedIssuer] = (), outside: httpx.AsyncClient | None = None,
        ticks: Callable[[], float] = time.monotonic, keys_at: str = "",
    ) -> None:  # fmt: skip
        self.issuer = issuer
        # Where we find our own issuer may not be where callers do.
        self._keys_at = keys_at or issuer
        self.clock = clock
        self._http = http
        self.own = Keys(self._fetch_own, OWN_PAUSE_SECONDS, ticks)
        self._sources = {
            each.issuer: _Source(
                each.audience, each.algorithms, _types(each.typ),
                Keys(lambda each=each: each.fetch_keys(outside or http), FOREIGN_PAUSE_SECONDS, ticks),  # type: ignore[misc]
                _reader(each),
            )
            for each in trusted
        } | {issuer: _Source(AUDIENCE, OWN_ALGORITHMS, _types("at+jwt"), self.own, _read_own)}  # fmt: skip
        self._seen: dict[str, tuple[Principal, Keys, str, Any]] = {}

    @property
    def keys(self) -> dict[str, Any]:
        return self.own.known

    def trust(self, jwks: Any) -> None:
        self.own.trust(jwks)

    async def fetch(self) -> None:
        await self.own.refresh()

    async def _fetch_own(self) -> Any:
        answer = await self._http.get(f"{self._keys_at}/.well-known/jwks.json", timeout=2)
        return answer.raise_for_status().json()

    async def verify(self, token: str) -> Principal:
        """The principal of a token; Unauthenticated when anything about it is not as it must be."""
        if token in self._seen:
            principal, keys, kid, key = self._seen[token]
            if await keys.get(kid) is key and principal.expires_at > self.clock():
                return principal
        header, claims = _parse(token)
        issuer = claims.get("iss")
        source = self._sources.get(issuer) if isinstance(issuer, str) else None
        if source is None:
            raise Unauthenticated("the token is of an issuer that isn't trusted here")
        algorithm = str(header.get("alg"))
        if str(header.get("typ")).lower() not in source.types or algorithm not in source.algorithms:
            raise Unauthenticated("the token isn't an access token that is taken here")
        # Only this one key is offered: what the header says about keys (jku, x5u, jwk, x5c) is never followed.
        key = await source.keys.get(header.get("kid"))
        try:
            with warnings.catch_warnings():
                # Many providers still call Ed25519 by its older name, EdDSA.
                warnings.simplefilter("ignore", SecurityWarning)
                # Refuses a key of another kind, or published for another algorithm.
                jws.deserialize_compact(token.encode(), key, algorithms=[algorithm])
            principal = source.read(claims, *self._check(claims, source.audience))
        except (JoseError, ValueError, TypeError, KeyError, OverflowError):
            raise Unauthenticated("the token doesn't hold") from None
        if len(self._seen) >= REMEMBERED_TOKENS:
            self._seen.clear()
        self._seen[token] = (principal, source.keys, key.kid, key)
        return principal

    def _check(self, claims: dict[str, Any], audience: str) -> tuple[str, float]:
        """The subject and the end of a token for us that has begun and not ended; ValueError otherwise."""
        said = claims["aud"]
        if audience not in (said if isinstance(said, list) else [said]):
            raise ValueError("another audience")
        expires_at, issued_at = _instant(claims["exp"]), _instant(claims["iat"])
        begins_at = _instant(claims.get("nbf", issued_at))
        if not self.clock() < expires_at:
            raise ValueError("expired")
        if max(issued_at, begins_at) > self.clock() + CLOCK_SKEW_SECONDS:
            raise ValueError("not yet valid")
        subject = claims["sub"]
        if not isinstance(subject, str) or not 1 <= len(subject) <= LONGEST_SUBJECT or not subject.isprintable():
            raise ValueError("no subject")
        return subject, expires_at


def _types(typ: str) -> frozenset[str]:
    # RFC 9068 lets an issuer write the media type in full.
    return frozenset({typ.lower(), f"application/{typ.lower()}"})


def _instant(said: object) -> float:
    if isinstance(said, bool) or not isinstance(said, int | float):
        raise TypeError("times are numbers")
    if not math.isfinite(said):
        raise ValueError("times end")
    return float(said)


def _read_own(claims: dict[str, Any], subject: str, expires_at: float) -> Principal:
    workspace = claims.get("workspace_id")
    return Principal(
        subject=subject,
        workspace=UUID(workspace) if workspace else None,
        roles=frozenset(claims.get("roles", [])),
        scopes=frozenset(str(claims.get("scope", "")).split()),
        expires_at=expires_at,
    )


def _reader(trusted: TrustedIssuer) -> Callable[[dict[str, Any], str, float], Principal]:
    def read(claims: dict[str, Any], subject: str, expires_at: float) -> Principal:
        if ID_TOKEN_CLAIMS & claims.keys():
            raise ValueError("an ID token")
        roles = trusted.roles_of(claims)
        return Principal(
            subject=f"{trusted.name}:{subject}",
            workspace=trusted.workspace_of(claims),
            roles=frozenset(role.value for role in roles),
            scopes=scopes_of(roles),
            expires_at=expires_at,
            issuer=trusted.name,
        )

    return read


def _parse(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims of a signed token in the one spelling that it can have; nothing in them is trusted yet."""
    try:
        if len(token) > LARGEST_TOKEN:
            raise ValueError("too large")
        header, claims, signature = token.split(".")
        _decoded(signature)
        found = _object(header), _object(claims)
        if "crit" in found[0]:
            raise ValueError("asks for what isn't understood here")
    except (ValueError, RecursionError):
        raise Unauthenticated("the token can't be read") from None
    return found


def _decoded(segment: str) -> bytes:
    try:
        plain = base64.b64decode(segment + "=" * (-len(segment) % 4), altchars=b"-_", validate=True)
    except binascii.Error as problem:
        raise ValueError("not base64url") from problem
    if base64.urlsafe_b64encode(plain).decode().rstrip("=") != segment:
        raise ValueError("spelled in another way than it must be")
    return plain


def _object(segment: str) -> dict[str, Any]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("a name stands twice")
        return found

    value = json.loads(_decoded(segment), object_pairs_hook=once)
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value
