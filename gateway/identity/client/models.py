"""Decides what an API client is made of."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field as Described
from pydantic import StringConstraints
from sqlalchemy import ARRAY, Column, Index, LargeBinary, Text
from sqlmodel import Field

from chassis.db import Enums, instant_column
from chassis.editing import Editable, Patch
from chassis.fields import Input, Name, Readable, UtcDatetime
from chassis.roles import Role
from gateway.db import Table

Scope = Annotated[
    str, StringConstraints(pattern=r"^[a-z]+:[a-z]+$", max_length=50), Described(examples=["metrics:read"])
]


class ApiClient(Table, Editable, table=True):
    """A program that acts in one workspace. `id` is its client_id; of its secrets only hashes are kept."""

    __tablename__ = "api_client"
    __table_args__ = (
        Index(None, "id"),
        Index(None, "workspace_id", "name", "id"),
        Index(None, "workspace_id", "created_at", "id"),
    )

    name: str
    roles: list[Role] = Field(sa_column=Column("roles", Enums(Role), nullable=False))
    scopes: list[str] | None = Field(None, sa_column=Column("scopes", ARRAY(Text)))
    secret_hash: bytes = Field(sa_column=Column("secret_hash", LargeBinary, nullable=False))
    old_secret_hash: bytes | None = Field(None, sa_column=Column("old_secret_hash", LargeBinary))
    old_secret_ends_at: datetime | None = Field(None, sa_column=instant_column("old_secret_ends_at", nullable=True))
    created_at: datetime = Field(sa_column=instant_column("created_at"))
    created_by: str = Field("", sa_column=Column("created_by", Text, nullable=False, server_default=""))
    expires_at: datetime | None = Field(None, sa_column=instant_column("expires_at", nullable=True))
    revoked_at: datetime | None = Field(None, sa_column=instant_column("revoked_at", nullable=True))
    revoked_by: str | None = Field(None, sa_column=Column("revoked_by", Text))
    last_used_at: datetime | None = Field(None, sa_column=instant_column("last_used_at", nullable=True))


class ApiClientCreate(Input):
    name: Name
    roles: Annotated[list[Role], Described(min_length=1, max_length=5)]
    scopes: Annotated[list[Scope], Described(min_length=1, max_length=50)] | None = Described(
        None, description="Only these of the roles' scopes; left out, all of them.", examples=[["metrics:read"]]
    )
    expires_at: UtcDatetime | None = Described(
        None, description="From then on it gets no more tokens.", examples=["2099-01-01T00:00:00Z"]
    )


class ApiClientPatch(Patch, of=ApiClientCreate, without={"roles"}):
    """What may change of a client. Its roles stay: another job is another client."""


class ApiClientRotate(Input):
    keep_old_minutes: int = Described(
        1440, ge=0, le=10_080, description="How long the secret so far is still taken, up to a week."
    )


class ApiClientRead(Readable):
    """An API client, without its secrets."""

    id: UUID
    version: int
    name: str
    roles: list[Role]
    scopes: list[str] | None = Described(description="What it was narrowed to; null: all that its roles may.")
    created_at: UtcDatetime
    created_by: str = Described(description="Subject of whoever made it; empty for the installation itself.")
    expires_at: UtcDatetime | None
    revoked_at: UtcDatetime | None
    revoked_by: str | None
    last_used_at: UtcDatetime | None = Described(description="When it last got a token, to the minute.")
    old_secret_ends_at: UtcDatetime | None = Described(description="Until when the secret before this one is taken.")


class ApiClientSecret(ApiClientRead):
    """An API client with a new secret, which is shown this once."""

    client_secret: str
