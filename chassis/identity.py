"""Decides who is calling: a verified access token, and what its scopes allow."""

from collections.abc import Callable
from typing import Annotated, Any
from uuid import UUID

import httpx
from fastapi import Depends, Request, Security
from fastapi.openapi.models import OAuthFlowClientCredentials, OAuthFlows
from fastapi.security import OAuth2, SecurityScopes

from chassis.errors import Forbidden, Unauthenticated
from chassis.tokens import REMEMBERED_TOKENS, SERVICE_PREFIX, Verifier
from chassis.tokens import Principal as Principal


class Bearer(OAuth2):
    """The scheme as OpenAPI shows it and the check in one, as FastAPI takes long over each dependency."""

    async def __call__(self, request: Request, needed: SecurityScopes) -> Principal:  # type: ignore[override]
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("send a bearer token from /oauth/token")
        verifier: Verifier = request.app.state.verifier
        principal = await verifier.verify(token.strip())
        missing = sorted(set(needed.scopes) - principal.scopes)
        if missing and principal.issuer and not principal.roles:
            raise Forbidden(
                "this token brings no role; exchange it at the gateway's /oauth/token", code="scope_missing"
            )
        if missing:
            raise Forbidden(f"the token lacks the scope {' '.join(missing)}", code="scope_missing")
        request.state.principal = principal
        return principal


_current = Bearer(
    flows=OAuthFlows(clientCredentials=OAuthFlowClientCredentials(tokenUrl="/oauth/token")),
    scheme_name="OAuth2",
    description="A bearer token from the gateway's /oauth/token, or of an issuer that is trusted beside it.",
)

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
        self, part: str, secret: str, gateway: str, http: httpx.AsyncClient, clock: Callable[[], float]
    ) -> None:
        self.client_id = f"{SERVICE_PREFIX}{part}"
        self._secret = secret
        self._gateway = gateway
        self._http = http
        self._clock = clock
        self._tokens: dict[UUID | None, tuple[str, float, float]] = {}

    async def headers(self, workspace_id: UUID | None = None) -> dict[str, str]:
        """The Authorization header for one workspace, or for none (the inbox). Raises httpx.HTTPError."""
        token, since, until = self._tokens.get(workspace_id, ("", 0.0, 0.0))
        now = self._clock()
        if not since <= now < until:
            form = {"grant_type": "client_credentials"} | ({"workspace_id": str(workspace_id)} if workspace_id else {})
            answer = await self._http.post(
                f"{self._gateway}/oauth/token", data=form, auth=(self.client_id, self._secret), timeout=2
            )
            grant = answer.raise_for_status().json()
            token = grant["access_token"]
            if len(self._tokens) >= REMEMBERED_TOKENS:
                self._tokens.clear()
            self._tokens[workspace_id] = (token, now, now + grant["expires_in"] * 0.8)
        return {"Authorization": f"Bearer {token}"}
