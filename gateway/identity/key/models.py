"""Decides what a signing key is made of: of the installation, not of a workspace."""

from pydantic import Field
from sqlalchemy import Column, LargeBinary, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

from chassis.db import instant_column
from chassis.fields import Readable, UtcDatetime
from gateway.db import METADATA
from gateway.identity.key.rules import KeyState

# The private half is sealed; the database alone can't sign.
signing_key = Table(
    "signing_key", METADATA,
    Column("kid", Text, primary_key=True),
    Column("public", JSONB, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    instant_column("created_at"),
    instant_column("signs_from"),
)  # fmt: skip


class SigningKeyRead(Readable):
    """One of the keys that access tokens are checked with."""

    kid: str
    state: KeyState = Field(description="`next`: published, signs later. `old`: until all its tokens have ended.")
    created_at: UtcDatetime
    signs_from: UtcDatetime
    ends_at: UtcDatetime | None = Field(description="When it is forgotten; null while it signs or will.")


class SigningKeys(Readable):
    """All keys that are published, the oldest first."""

    keys: list[SigningKeyRead]
