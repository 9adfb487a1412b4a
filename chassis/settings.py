"""Decides what a process can be told from outside, and where its neighbours are."""

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from chassis.issuers import TrustedIssuer
from chassis.stack import parts

# Nobody can call an address that only says "listen on all"; and who listens on all of IPv6 is deaf to IPv4.
LOOPBACK = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}  # noqa: S104


def reached_at(host: str) -> str:
    """Where this machine itself finds what listens on `host`."""
    return LOOPBACK.get(host, host)


def in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


class Settings(BaseSettings):
    """Every variable a process reads. Secrets are types that never print."""

    model_config = SettingsConfigDict(env_prefix="MOPS_", env_ignore_empty=True, extra="ignore")

    part: str = Field("", description="Which row of deploy/stack.toml this process is.")
    database_url: SecretStr = Field(SecretStr(""), description="postgresql:// URL of this part's own login role.")
    worker_role: str = Field("", description="Role that reads a few tables across workspaces, by SET LOCAL ROLE.")
    database_pool: int = Field(8, ge=2, description="Most connections this process holds.")
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, description="The gateway's port; the services take the next four.")
    urls: dict[str, str] = Field(
        {}, description='JSON map of part ("goals") to the base URL that this process finds it at; default: host:port.'
    )
    public_urls: dict[str, str] = Field(
        {}, description="JSON map of part to the base URL that callers are told of it; default: host:port."
    )
    public_url: str = Field("", description="What e-mail platforms see; default: what callers are told of metrics.")
    issuer: str = Field("", description="The `iss` of access tokens; default: the gateway's address.")
    home: Path = Field(Path(".mops"), description="Where everything that is kept outside Postgres lies.")
    secret_key: SecretStr = Field(SecretStr(""), description="Base64 of 32 bytes: seals stored credentials.")
    trusted_issuers: list[TrustedIssuer] = Field(
        [], description="JSON list of OpenID Connect providers whose access tokens are taken too; see docs/identity.md."
    )
    signing_keys: SecretStr = Field(
        SecretStr(""), description="Gateway only: private JWKS of one Ed25519 key to begin with, instead of a new one."
    )
    service_secret: SecretStr = Field(SecretStr(""), description="Secret of this part's service account.")
    read_seconds: float = Field(
        0.8, description="Gateway only: most seconds that all reads of one graph request take together."
    )
    introspection: bool = Field(
        False, description="Gateway only: whether the graph tells its schema, and what a misspelled name may mean."
    )
    trusted_documents: Path | None = Field(
        None, description="Gateway only: JSON file of documents by their ids, such as a frontend's build makes."
    )
    trusted_only: bool = Field(False, description="Gateway only: whether all other documents are refused.")
    cors_origins: list[str] = Field(
        [], description='Gateway only: JSON list of the origins whose pages may ask, such as "https://app.example.com".'
    )
    graph_cost: int = Field(
        1_000_000, gt=0, description="Gateway only: most objects that one client may ask the graph for in a minute."
    )
    webhook_hosts: list[str] = Field(
        [],
        description="Gateway only: JSON list of hosts that events may be posted to by http and though private, such as "
        '"127.0.0.1" while developing.',
    )
    body_limit: int = Field(1_000_000, description="Most bytes of a JSON body.")
    webhook_limit: int = Field(16_000_000, description="Most bytes of one webhook POST.")
    # 5 GiB, and what its form adds.
    upload_limit: int = Field(5_370_000_000, description="Most bytes of one uploaded file, with the form around it.")
    statement_limit: int = Field(32_000_000, description="Most bytes of one file of a bank, an ERP and the like.")
    body_seconds: float = Field(20, gt=0, description="Longest pause of a body, and what any may take in all beside:")
    body_rate: float = Field(32_000, gt=0, description="the time that its bytes need at this many a second.")
    otlp_url: str = Field("", description="Collector that takes traces by OTLP/HTTP, such as http://127.0.0.1:4318.")
    log_format: str = Field("console", description='"json" for machines, "console" for people.')

    def url(self, part: str) -> str:
        """Base URL at which this process finds another part, without a trailing slash."""
        return (self.urls.get(part) or self._default_url(part)).rstrip("/")

    def told_url(self, part: str) -> str:
        """Base URL of a part for callers, who may be elsewhere, without a trailing slash."""
        return (self.public_urls.get(part) or self._default_url(part)).rstrip("/")

    def _default_url(self, part: str) -> str:
        return f"http://{in_url(reached_at(self.host))}:{self.port + parts()[part].port}"

    @property
    def issuer_url(self) -> str:
        return self.issuer or self.told_url("gateway")

    @property
    def webhook_url(self) -> str:
        return (self.public_url or self.told_url("metrics")).rstrip("/")

    @property
    def subscribers(self) -> list[str]:
        """Parts that hear what this one publishes."""
        return [name for name, row in parts().items() if self.part in row.hears]
