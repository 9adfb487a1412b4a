"""Decides what is kept of a person who gets e-mail, and what an address is."""

from typing import Annotated
from uuid import UUID, uuid4

from pydantic import AfterValidator, StringConstraints
from pydantic import Field as Described
from sqlalchemy import Column, LargeBinary, UniqueConstraint
from sqlmodel import Field

from services.metrics.db import Table

LONGEST = 320
Address = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=LONGEST, pattern=r"^[^@\s\x00]+@[^@\s\x00]+$"),
    AfterValidator(str.lower),
    Described(description="An e-mail address.", examples=["ann@example.com"]),
]


class Recipient(Table, table=True):
    """The only table that holds addresses; everywhere else stands the id, which is random and so tells nothing, not
    even when it was made. `address_hash` is an HMAC under the workspace's own key."""

    __table_args__ = (UniqueConstraint("workspace_id", "address_hash"),)

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    address: str
    address_hash: bytes = Field(sa_column=Column("address_hash", LargeBinary, nullable=False))
