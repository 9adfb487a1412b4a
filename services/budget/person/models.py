"""Decides what is kept of a person: who uses a seat, or answers for a vendor."""

from typing import Annotated
from uuid import UUID, uuid4

from pydantic import AfterValidator, StringConstraints
from pydantic import Field as Described
from sqlalchemy import Column, LargeBinary, String, UniqueConstraint
from sqlmodel import Field

from chassis.audit import HIDDEN
from chassis.fields import Input, Name, Readable
from services.budget.db import Table

# In lower case everywhere: the same person, however a tool spells them.
Address = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=254, pattern=r"^[^@\s]+@[^@\s]+$"),
    AfterValidator(str.lower),
    Described(description="An e-mail address; its case doesn't matter.", examples=["ann@example.com"]),
]


class Person(Table, table=True):
    """The only table that holds names and addresses; everywhere else stands the id, which is random and so tells
    nothing. An erased person keeps the id, so that counts stay what they were. `address_hash` is an HMAC under the
    workspace's own key."""

    __table_args__ = (UniqueConstraint("workspace_id", "address_hash"),)

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    name: str | None = Field(None, sa_column=Column("name", String, info=HIDDEN))
    address: str | None = Field(None, sa_column=Column("address", String, info=HIDDEN))
    address_hash: bytes | None = Field(None, sa_column=Column("address_hash", LargeBinary))


class Contact(Input):
    """Who answers for something."""

    name: Name = Field(schema_extra={"examples": ["Ann Lee"]})
    address: Address


class ErasureCreate(Input):
    """Whose name and address are to be forgotten."""

    address: Address


class ErasureRead(Readable):
    """What was forgotten."""

    erased: bool = Described(description="False where nothing was known of the address.")
