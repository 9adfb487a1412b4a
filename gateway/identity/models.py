"""Decides what an API client and a service account are made of."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field as Described
from sqlalchemy import ARRAY, Column, Index, LargeBinary, Text
from sqlalchemy import Table as SqlTable
from sqlmodel import Field

from chassis.db import instant_column
from chassis.fields import Input, Name, Readable, UtcDatetime
from gateway.db import METADATA, Table
from gateway.identity.rules import Role


class ApiClient(Table, table=True):
    """A program that acts in one workspace. `id` is its client_id; of its secret only the hash is kept."""

    __tablename__ = "api_client"
    __table_args__ = (Index(None, "id"),)

    name: str
    roles: list[str] = Field(sa_column=Column("roles", ARRAY(Text), nullable=False))
    secret_hash: bytes = Field(sa_column=Column("secret_hash", LargeBinary, nullable=False))
    created_at: datetime = Field(sa_column=instant_column("created_at"))
    revoked_at: datetime | None = Field(None, sa_column=instant_column("revoked_at", nullable=True))


# A service's own client: of the installation, not of a workspace. deploy/stack.toml says what it may ask for.
service_account = SqlTable(
    "service_account", METADATA,
    Column("name", Text, primary_key=True),
    Column("secret_hash", LargeBinary, nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
)  # fmt: skip


class ApiClientCreate(Input):
    name: Name
    roles: Annotated[list[Role], Described(min_length=1, max_length=5)]


class ApiClientRead(Readable):
    """An API client, without its secret."""

    id: UUID
    name: str
    roles: list[Role]
    created_at: UtcDatetime
    revoked_at: UtcDatetime | None


class ApiClientSecret(ApiClientRead):
    """A new API client with its secret, which is shown this once."""

    client_secret: str
