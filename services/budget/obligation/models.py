"""Decides what an obligation is made of: what is to be complied with, and how each time it was."""

from datetime import date, datetime
from typing import Annotated, Any, ClassVar
from uuid import UUID

from pydantic import Field as Described
from pydantic import StringConstraints
from sqlalchemy import ForeignKeyConstraint, Index, text
from sqlmodel import Field

from chassis.audit import UNAUDITED
from chassis.db import instant_column
from chassis.editing import Editable, Patch
from chassis.fields import Day, Input, Name, Readable, UtcDatetime, Version, Words
from chassis.outbox import Event
from services.budget.db import Table

FILTERED = ("vendor_id", "contract_id", "owner", "due", "is_met", "created_at")


class Obligation(Table, Editable, table=True):
    """`due` follows from `first_due`, how often it recurs and how often it was met. `tell_on`: from when on others are
    told that it wasn't; null once they were, or nothing is left to do."""

    __table_args__ = (
        ForeignKeyConstraint(["workspace_id", "vendor_id"], ["vendor.workspace_id", "vendor.id"]),
        ForeignKeyConstraint(["workspace_id", "contract_id"], ["contract.workspace_id", "contract.id"]),
        Index("obligation_tell_on_idx", "tell_on", postgresql_where=text("tell_on IS NOT NULL")),
        *(Index(None, "workspace_id", each, "id") for each in FILTERED),
    )

    vendor_id: UUID
    contract_id: UUID | None
    words: str
    owner: str
    first_due: date
    every_months: int | None
    times_met: int = 0
    due: date
    is_met: bool = False
    tell_on: date | None
    created_at: datetime = Field(sa_column=instant_column("created_at"))


Said = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000)]


class ObligationCreate(Input):
    """Something that was promised to a vendor, or by one."""

    vendor_id: UUID
    contract_id: UUID | None = Field(None, description="The vendor's contract that it is from.")
    words: Said = Field(schema_extra={"examples": ["Report the number of active users"]})
    owner: Name = Field(description="Who sees to it.", schema_extra={"examples": ["operations"]})
    first_due: Day = Field(
        description="By when, the first time: that day no longer counts.", schema_extra={"examples": ["2026-09-01"]}
    )
    every_months: Annotated[int, Described(ge=1, le=120)] | None = Field(
        None, description="Again after so many months; null: once.", schema_extra={"examples": [3]}
    )

    def columns(self) -> dict[str, Any]:
        """As the row has it before it was ever met."""
        return self.model_dump() | {"due": self.first_due, "tell_on": self.first_due}


class ObligationPatch(Patch, of=ObligationCreate, without={"vendor_id", "contract_id", "first_due", "every_months"}):
    """What may change of an obligation: what is due when is what was agreed."""


class ObligationRead(Readable):
    """What has to be complied with, and by when."""

    id: UUID
    vendor_id: UUID
    contract_id: UUID | None
    words: str
    owner: str
    first_due: date
    every_months: int | None
    times_met: int
    due: date = Described(description="By when it is to be met next; once it is met for good, by when it was.")
    is_met: bool = Described(description="True once nothing is left to do.")
    version: Version
    created_at: UtcDatetime


class ObligationOverdue(Event):
    """The day has come by which it was to be met, and it isn't."""

    type: ClassVar[str] = "budget.obligation.overdue"
    obligation_id: UUID
    vendor_id: UUID
    contract_id: UUID | None
    owner: str
    due: date


class Fulfilment(Table, table=True):
    """That an obligation was met. Never changed."""

    __table_args__ = (
        ForeignKeyConstraint(["workspace_id", "obligation_id"], ["obligation.workspace_id", "obligation.id"]),
        Index(None, "workspace_id", "obligation_id", "id"),
        Index(None, "workspace_id", "met_at", "id"),
        {"info": UNAUDITED},
    )

    obligation_id: UUID
    due: date
    met_by: str
    met_at: datetime = Field(sa_column=instant_column("met_at"))
    evidence: str
    words: str


class FulfilmentCreate(Input):
    evidence: Said = Field(
        description="Where it can be seen: an address, an asset's id, a ticket.",
        schema_extra={"examples": ["https://example.com/report"]},
    )
    words: Words = Field("", description="What there is to say.", schema_extra={"examples": ["Sent by mail"]})


class FulfilmentRead(Readable):
    """That an obligation was met, by whom, and where it can be seen."""

    id: UUID
    obligation_id: UUID
    due: date = Described(description="By when it was to be met.")
    met_by: str
    met_at: UtcDatetime
    evidence: str
    words: str
