"""Decides what a source is made of: its row, and what callers send and get."""

from datetime import datetime
from uuid import UUID

from pydantic import SecretStr
from sqlalchemy import Column, Index, LargeBinary
from sqlmodel import Field

from chassis.db import enum_column, instant_column
from chassis.fields import Input, Name, Readable, UtcDatetime
from services.metrics.db import Table
from services.metrics.source.rules import PlatformName


class Source(Table, table=True):
    """Of its token only the hash is kept; its credentials are sealed. `received_at` is its watermark."""

    # The token is looked up before a workspace is known, so its index doesn't begin with one. Not unique: that would
    # tell a workspace of another's, and 256 random bits don't meet.
    __table_args__ = (
        Index(None, "token_hash"),
        Index(None, "workspace_id", "platform"),
        *(Index(None, "workspace_id", each, "id") for each in ("name", "created_at")),
    )

    platform: PlatformName = Field(sa_column=enum_column(PlatformName, "platform"))
    name: str
    token_hash: bytes = Field(sa_column=Column("token_hash", LargeBinary, nullable=False))
    credentials: bytes = Field(sa_column=Column("credentials", LargeBinary, nullable=False))
    created_at: datetime = Field(sa_column=instant_column("created_at"))
    received_at: datetime | None = Field(None, sa_column=instant_column("received_at", nullable=True))


class SourceCredentials(Input):
    """What the platform signs its posts with: for each platform its own field, and no other."""

    public_key: str | None = Field(
        None,
        max_length=1000,
        description="sendgrid: the verification key of the signed event webhook, base64 of a DER public key (P-256).",
    )
    signing_secret: SecretStr | None = Field(
        None,
        max_length=1000,
        description="standard: `whsec_` and then base64 of 16 to 64 random bytes, as Standard Webhooks has it.",
        schema_extra={"examples": ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]},
    )


class SourceCreate(Input):
    """A new source: one account at one platform."""

    platform: PlatformName
    name: Name = Field(schema_extra={"examples": ["Newsletter account"]})
    credentials: SourceCredentials


class SourceRead(Readable):
    """A source, without its secrets."""

    id: UUID
    platform: PlatformName
    name: str
    created_at: UtcDatetime
    received_at: UtcDatetime | None = Field(description="When its latest post arrived; null before the first.")


class SourceCreated(SourceRead):
    """A new source with the URL to paste at the platform, which is shown this once."""

    webhook_url: str = Field(
        repr=False,
        description="A secret: the platform posts its events here. Make a new source if it is lost.",
        schema_extra={"examples": ["https://events.example.com/v1/webhooks/kq3…"]},
    )
