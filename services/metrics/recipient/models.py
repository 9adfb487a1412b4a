"""Decides what is kept of a person who gets e-mail."""

from uuid import UUID, uuid4

from sqlalchemy import Column, LargeBinary, UniqueConstraint
from sqlmodel import Field

from services.metrics.db import Table


class Recipient(Table, table=True):
    """The only table that holds addresses; everywhere else stands the id, which is random and so tells nothing, not
    even when it was made. `address_hash` is an HMAC under the workspace's own key."""

    __table_args__ = (UniqueConstraint("workspace_id", "address_hash"),)

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    address: str
    address_hash: bytes = Field(sa_column=Column("address_hash", LargeBinary, nullable=False))
