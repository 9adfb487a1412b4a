"""Decides which other issuers' tokens are taken beside our own, and what their claims mean here."""

import asyncio
import json
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit
from uuid import UUID

import httpx
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from chassis.roles import Role

LARGEST_DOCUMENT = 256 * 1024
FETCH_SECONDS = 3.0
LOCAL = {"127.0.0.1", "::1", "localhost"}
# What our own tokens' subjects begin with: nobody else's may.
RESERVED = {"service", "client", "member", "operator"}


def _safe_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOCAL):
        raise ValueError("must be an https:// URL; http:// is for this machine alone")
    if not parts.hostname or parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("must be a plain URL with a host")
    return url


def _own_name(name: str) -> str:
    if name in RESERVED:
        raise ValueError(f"{name} is taken: subjects of our own tokens begin with it")
    return name


Url = Annotated[str, AfterValidator(_safe_url)]


class TrustedIssuer(BaseModel):
    """An OpenID Connect provider whose access tokens are taken: one entry of MOPS_TRUSTED_ISSUERS."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,30}$"), AfterValidator(_own_name)] = Field(
        description="Short name: its people are NAME:SUB here.", examples=["company"]
    )
    issuer: Url = Field(description="The `iss` of its tokens, to the letter.")
    audience: str = Field(min_length=1, description="The `aud` of its tokens for MOps, and for nothing else.")
    algorithms: list[Literal["RS256", "PS256", "ES256", "EdDSA", "Ed25519"]] = Field(
        ["RS256"], min_length=1, description="The only signatures taken."
    )
    jwks_url: Url | None = Field(None, description="Where its keys are; by default its discovery document says so.")
    typ: Literal["at+jwt", "JWT"] = Field(
        "at+jwt", description="`JWT` for providers that don't mark access tokens (RFC 9068) as such."
    )
    workspace: UUID | None = Field(None, description="The one workspace that it speaks for.")
    workspace_claim: str | None = Field(None, description="Or the claim that says which of `workspaces` is meant.")
    workspaces: dict[str, UUID] = Field({}, description="The claim's values, and the workspaces they mean.")
    roles_claim: str | None = Field(
        None, description="Claim that holds a person's groups; a dot goes into an object (`realm_access.roles`)."
    )
    roles: dict[str, Role] = Field({}, description="Which group means which role; others mean nothing.")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.workspace is None) == (self.workspace_claim is None or not self.workspaces):
            raise ValueError("give either workspace, or workspace_claim with workspaces")
        if (self.roles_claim is None) != (not self.roles):
            raise ValueError("roles_claim and roles go together")
        return self

    def workspace_of(self, claims: dict[str, Any]) -> UUID:
        """The workspace that a token is for; ValueError when it says none of this issuer's."""
        if self.workspace is not None:
            return self.workspace
        said = _claim(claims, self.workspace_claim or "")
        if not isinstance(said, str) or said not in self.workspaces:
            raise ValueError("no workspace of this issuer")
        return self.workspaces[said]

    def roles_of(self, claims: dict[str, Any]) -> frozenset[Role]:
        """The roles that a token's groups mean here: none when the issuer leaves that to the members list."""
        said = _claim(claims, self.roles_claim) if self.roles_claim else []
        groups = [said] if isinstance(said, str) else said if isinstance(said, list) else []
        return frozenset(self.roles[group] for group in groups if isinstance(group, str) and group in self.roles)

    async def fetch_keys(self, http: httpx.AsyncClient) -> Any:
        """Its JWKS. Raises httpx.HTTPError, TimeoutError or ValueError when it can't be had or isn't one."""
        async with asyncio.timeout(FETCH_SECONDS):
            url = self.jwks_url
            if url is None:
                document = await _fetch(http, f"{self.issuer.rstrip('/')}/.well-known/openid-configuration")
                if document.get("issuer") != self.issuer:
                    raise ValueError("the discovery document is another issuer's")
                url = _safe_url(str(document.get("jwks_uri")))
                if urlsplit(url).scheme != urlsplit(self.issuer).scheme:
                    raise ValueError("keys of an https issuer come by https")
            return await _fetch(http, url)


def _claim(claims: dict[str, Any], name: str) -> Any:
    # As it stands first: some providers name claims by URLs, which have dots.
    if name in claims:
        return claims[name]
    found: Any = claims
    for step in name.split("."):
        found = found.get(step) if isinstance(found, dict) else None
    return found


async def _fetch(http: httpx.AsyncClient, url: str) -> dict[str, Any]:
    # Uncompressed, so that what is counted is what is kept; a redirect would lead where nobody configured.
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    async with http.stream("GET", url, headers=headers, follow_redirects=False, timeout=FETCH_SECONDS) as answer:
        if answer.status_code != 200 or "content-encoding" in answer.headers:
            raise ValueError(f"{url} answers {answer.status_code}")
        body = b""
        async for part in answer.aiter_raw():
            body += part
            if len(body) > LARGEST_DOCUMENT:
                raise ValueError(f"{url} answers with more than {LARGEST_DOCUMENT} bytes")
    document = json.loads(body)
    if not isinstance(document, dict):
        raise ValueError(f"{url} isn't a JSON object")
    return document
