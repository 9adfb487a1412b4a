"""Decides who is calling: a verified access token, and what its scopes allow."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import httpx
from fastapi import Depends, Request, Security
from fastapi.openapi.models import OAuthFlowClientCredentials, OAuthFlows
from fastapi.security import OAuth2, SecurityScopes
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from chassis.errors import Forbidden, Unauthenticated, Unavailable

AUDIENCE = "mops"
# The only signatures accepted, whatever a token's own header says.
ALGORITHMS = ["Ed25519"]
SERVICE_PREFIX = "service:"
REFETCH_SECONDS = 2.0
REMEMBERED_TOKENS = 2048


@dataclass(frozen=True)
class Principal:
    """Who calls, for which workspace, and what they may do."""

    subject: str
    workspace: UUID | None
    roles: frozenset[str]
    scopes: frozenset[str]
    expires_at: float

    @property
    def workspace_id(self) -> UUID:
        """The token's workspace; a service's own token has none until it asks for one."""
        if self.workspace is None:
            raise Forbidden("this token belongs to no workspace; ask for one with workspace_id", code="no_workspace")
        return self.workspace

    @property
    def is_service(self) -> bool:
        return self.subject.startswith(SERVICE_PREFIX)


class Verifier:
    """Checks access tokens (RFC 9068) against the issuer's published keys, and keeps the last keys while it is away."""

    def __init__(self, issuer: str, http: httpx.AsyncClient, clock: Callable[[], float] = time.time) -> None:
        self.issuer = issuer
        self.http = http
        self.clock = clock
        self.keys: dict[str, Any] = {}
        self._fetched = float("-inf")
        self._seen: dict[str, Principal] = {}

    def trust(self, jwks: Any) -> None:
        self.keys = {key.kid: key for key in KeySet.import_key_set(jwks).keys if key.kid}
        self._seen.clear()

    async def fetch(self) -> None:
        answer = await self.http.get(f"{self.issuer}/.well-known/jwks.json", timeout=2)
        self.trust(answer.raise_for_status().json())

    async def _key(self, kid: object) -> Any:
        if not isinstance(kid, str):
            raise Unauthenticated("the token doesn't say which key signed it")
        if kid not in self.keys and time.monotonic() - self._fetched > REFETCH_SECONDS:
            self._fetched = time.monotonic()
            try:
                await self.fetch()
            except (httpx.HTTPError, ValueError) as problem:
                if not self.keys:
                    raise Unavailable("the keys that sign tokens can't be fetched yet", code="no_keys") from problem
        if not self.keys:
            raise Unavailable("the keys that sign tokens can't be fetched yet", code="no_keys")
        key = self.keys.get(kid)
        if key is None:
            raise Unauthenticated("the token is signed by a key that isn't known here")
        return key

    async def verify(self, token: str) -> Principal:
        """The principal of a token; Unauthenticated when anything about it is not as it must be."""
        seen = self._seen.get(token)
        if seen is not None and seen.expires_at > self.clock():
            return seen
        try:
            header = jws.extract_compact(token.encode()).headers()
        except (JoseError, ValueError, TypeError, AttributeError):
            raise Unauthenticated("the token can't be read") from None
        if header.get("typ") != "at+jwt" or header.get("alg") not in ALGORITHMS:
            raise Unauthenticated("the token isn't an access token of ours")
        key = await self._key(header.get("kid"))
        try:
            # Only this one key is offered: what the header says about keys (jku, x5u, jwk) is never followed.
            claims = jwt.decode(token, key, algorithms=ALGORITHMS).claims
            principal = self._principal(claims)
        except (JoseError, ValueError, TypeError, KeyError):
            raise Unauthenticated("the token doesn't hold") from None
        if len(self._seen) >= REMEMBERED_TOKENS:
            self._seen.clear()
        self._seen[token] = principal
        return principal

    def _principal(self, claims: dict[str, Any]) -> Principal:
        if claims["iss"] != self.issuer or claims["aud"] != AUDIENCE:
            raise ValueError("another issuer or audience")
        expires_at = float(claims["exp"])
        if not claims["iat"] - 60 <= self.clock() < expires_at:
            raise ValueError("expired, or not yet valid")
        workspace = claims.get("workspace_id")
        return Principal(
            subject=str(claims["sub"]),
            workspace=UUID(workspace) if workspace else None,
            roles=frozenset(claims.get("roles", [])),
            scopes=frozenset(str(claims.get("scope", "")).split()),
            expires_at=expires_at,
        )


_scheme = OAuth2(
    flows=OAuthFlows(clientCredentials=OAuthFlowClientCredentials(tokenUrl="/oauth/token")),
    scheme_name="OAuth2",
    description="A bearer token from the gateway's /oauth/token.",
    auto_error=False,
)


async def _current(
    request: Request, needed: SecurityScopes, authorization: Annotated[str | None, Security(_scheme)]
) -> Principal:
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated("send a bearer token from /oauth/token")
    verifier: Verifier = request.app.state.verifier
    principal = await verifier.verify(token.strip())
    missing = sorted(set(needed.scopes) - principal.scopes)
    if missing:
        raise Forbidden(f"the token lacks the scope {' '.join(missing)}", code="scope_missing")
    request.state.principal = principal
    return principal


CurrentPrincipal = Annotated[Principal, Depends(_current)]


def scope(*names: str) -> Any:
    """Route dependency: refuses tokens that lack any of the scopes."""
    return Security(_current, scopes=list(names))


async def _service(principal: CurrentPrincipal) -> Principal:
    if not principal.is_service:
        raise Forbidden("only services may call this", code="services_only")
    return principal


CurrentService = Annotated[Principal, Depends(_service)]


class ServiceAccount:
    """A part's own tokens: fetched when asked for, kept until shortly before they end."""

    def __init__(
        self, part: str, secret: str, issuer: str, http: httpx.AsyncClient, clock: Callable[[], datetime]
    ) -> None:
        self.client_id = f"{SERVICE_PREFIX}{part}"
        self._secret = secret
        self._issuer = issuer
        self._http = http
        self._clock = clock
        self._tokens: dict[UUID | None, tuple[str, float, float]] = {}

    async def headers(self, workspace_id: UUID | None = None) -> dict[str, str]:
        """The Authorization header for one workspace, or for none (the inbox). Raises httpx.HTTPError."""
        token, since, until = self._tokens.get(workspace_id, ("", 0.0, 0.0))
        now = self._clock().timestamp()
        if not since <= now < until:
            form = {"grant_type": "client_credentials"} | ({"workspace_id": str(workspace_id)} if workspace_id else {})
            answer = await self._http.post(
                f"{self._issuer}/oauth/token", data=form, auth=(self.client_id, self._secret), timeout=2
            )
            grant = answer.raise_for_status().json()
            token = grant["access_token"]
            if len(self._tokens) >= REMEMBERED_TOKENS:
                self._tokens.clear()
            self._tokens[workspace_id] = (token, now, now + grant["expires_in"] * 0.8)
        return {"Authorization": f"Bearer {token}"}
