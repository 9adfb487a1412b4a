"""Decides what a vendor is made of: its row, and what callers send and get."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field as Described
from sqlalchemy import ForeignKeyConstraint, Index, UniqueConstraint
from sqlmodel import Field

from chassis.db import enum_column, instant_column
from chassis.editing import Editable, Patch
from chassis.fields import Currency, Input, Name, Readable, UtcDatetime, Version, Words
from services.budget.db import Table
from services.budget.person.models import Contact
from services.budget.vendor.rules import VendorStatus


class Vendor(Table, Editable, table=True):
    __table_args__ = (
        UniqueConstraint("workspace_id", "name"),
        ForeignKeyConstraint(["workspace_id", "contact_id"], ["person.workspace_id", "person.id"]),
        Index(None, "workspace_id", "contact_id"),
        *(Index(None, "workspace_id", each, "id") for each in ("name", "status", "currency", "created_at")),
    )

    name: str
    status: VendorStatus = Field(sa_column=enum_column(VendorStatus, "status"))
    contact_id: UUID | None
    payment_days: int
    currency: str
    notes: str
    created_at: datetime = Field(sa_column=instant_column("created_at"))


class VendorCreate(Input):
    """Somebody who sells to the team."""

    name: Name = Field(description="One vendor's alone.", schema_extra={"examples": ["Acme Software"]})
    status: VendorStatus = VendorStatus.ACTIVE
    contact: Contact | None = Field(None, description="Shown to those with the scope `budget:people` alone.")
    payment_days: Annotated[int, Described(ge=0, le=365)] = Field(
        30, description="Days from an invoice's date until it is due.", schema_extra={"examples": [30]}
    )
    currency: Currency = Field(description="What it invoices in.")
    notes: Words = Field("", description="What else was agreed.")

    def columns(self, contact_id: UUID | None) -> dict[str, Any]:
        """As the row has it."""
        return self.model_dump(exclude={"contact"}) | {"contact_id": contact_id}


class VendorPatch(Patch, of=VendorCreate):
    """What may change of a vendor."""


class VendorRead(Readable):
    """Who sells to the team, and on which terms."""

    id: UUID
    name: str
    status: VendorStatus
    contact: Contact | None = Described(
        description="Null without the scope `budget:people`, where there is none, and once it was erased."
    )
    payment_days: int
    currency: str
    notes: str
    version: Version
    created_at: UtcDatetime
