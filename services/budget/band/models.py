"""Decides what an approval band is made of: its row, and what callers send and get."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, Column, Index, Text
from sqlmodel import Field

from chassis.db import instant_column
from chassis.editing import Editable, Patch
from chassis.fields import Input, Money, Name, Readable, UtcDatetime, Version
from services.budget.db import Table


class Band(Table, Editable, table=True):
    """A layer of approval that requests above an amount of the reporting currency need."""

    __table_args__ = (Index(None, "workspace_id", "department", "id"), Index(None, "workspace_id", "above", "id"))

    name: str
    above: int = Field(sa_type=BigInteger)
    currency: str
    department: str | None
    category: str | None
    approvers: list[str] = Field(sa_column=Column("approvers", ARRAY(Text), nullable=False))
    created_at: datetime = Field(sa_column=instant_column("created_at"))


class BandCreate(Input):
    """A layer of approval. A request needs each that it falls into, the lowest first, each by somebody else."""

    name: Name = Field(schema_extra={"examples": ["Head of marketing"]})
    above: Money = Field(
        description="In the reporting currency; a request of this much or more falls into it. When that currency"
        " changes, every request does, until the band is edited."
    )
    department: Name | None = Field(None, description="Only requests of which something is for a line of it.")
    category: Name | None = Field(None, description="Only requests of it.")
    approvers: list[Name] = Field(
        [], max_length=50, description="Who may decide, or who stands in for them; none: whoever has budget:approve."
    )

    def columns(self) -> dict[str, Any]:
        return self.model_dump(exclude={"above"}) | {"above": self.above.minor, "currency": self.above.currency}


class BandPatch(Patch, of=BandCreate):
    """What may change of a band; requests that wait are judged by what it is then."""


class BandRead(Readable):
    """A layer of approval."""

    id: UUID
    name: str
    above: Money
    department: str | None
    category: str | None
    approvers: list[str]
    version: Version
    created_at: UtcDatetime
