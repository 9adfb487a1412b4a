"""Decides what an invoice is made of: its row, and what callers send and get."""

from datetime import date, datetime
from typing import Annotated, Any, ClassVar
from uuid import UUID

from pydantic import Field as Described
from sqlalchemy import ARRAY, BigInteger, Column, Enum, ForeignKeyConstraint, Index, Text, UniqueConstraint
from sqlmodel import Field

from chassis.db import enum_column, instant_column
from chassis.editing import Editable
from chassis.fields import Day, Input, Money, Name, Readable, UtcDatetime, Version
from chassis.outbox import Event
from services.budget.db import Table
from services.budget.invoice.rules import InvoiceProblem, InvoiceState

FILTERED = ("state", "problem", "vendor", "dated", "line_id", "request_id", "received_at")


def _problem_column() -> Column[Any]:
    values = Enum(
        InvoiceProblem, native_enum=False, create_constraint=True, length=40, name="problem",
        values_callable=lambda members: [member.value for member in members],
    )  # fmt: skip
    return Column("problem", values, nullable=True)


class Invoice(Table, Editable, table=True):
    """`vendor` is '' where none is known. Posted, it says what it took of its line, in minor units of that one's
    currency: `spent` in all, `worth` of it out of what was committed for `covered` of its own. What it took of its
    order's other lines is in the ledger."""

    __table_args__ = (
        ForeignKeyConstraint(["workspace_id", "line_id"], ["line.workspace_id", "line.id"]),
        ForeignKeyConstraint(["workspace_id", "request_id"], ["request.workspace_id", "request.id"]),
        UniqueConstraint("workspace_id", "vendor", "number"),
        *(Index(None, "workspace_id", each, "id") for each in FILTERED),
    )

    line_id: UUID
    request_id: UUID | None
    vendor: str
    number: str
    currency: str
    amount: int = Field(sa_type=BigInteger)
    dated: date
    state: InvoiceState = Field(InvoiceState.RECEIVED, sa_column=enum_column(InvoiceState, "state"))
    problem: InvoiceProblem | None = Field(None, sa_column=_problem_column())
    reason: str | None = None
    accepted_by: str | None = None
    # Which problems were let pass.
    accepted: list[str] = Field(
        default_factory=list, sa_column=Column("accepted", ARRAY(Text), nullable=False, server_default="{}")
    )
    received_by: str
    received_at: datetime = Field(sa_column=instant_column("received_at"))
    posted_by: str | None = None
    posted_at: datetime | None = Field(None, sa_column=instant_column("posted_at", nullable=True))
    ended_at: datetime | None = Field(None, sa_column=instant_column("ended_at", nullable=True))
    spent: int = Field(0, sa_type=BigInteger)
    worth: int = Field(0, sa_type=BigInteger)
    covered: int = Field(0, sa_type=BigInteger)


class InvoiceCreate(Input):
    """An invoice that has come in."""

    request_id: UUID | None = Field(None, description="Its order; found by vendor and line where it isn't named.")
    line_id: UUID
    vendor: Name | None = Field(None, description="As in its order where it isn't named.")
    number: Name = Field(description="The vendor's; one of a number is taken.", schema_extra={"examples": ["2026-118"]})
    amount: Money
    date: Day = Field(description="The day that it counts in.", schema_extra={"examples": ["2026-06-01"]})


class InvoiceRebooking(Input):
    """Where an invoice belongs; what isn't sent stays."""

    line_id: UUID | None = None
    request_id: UUID | None = Field(None, description="Null, if it is sent: it belongs to no order.")
    date: Day | None = None


class InvoiceExcepted(Event):
    """It waits for somebody, and why."""

    type: ClassVar[str] = "budget.invoice.exception"
    invoice_id: UUID
    request_id: UUID | None
    line_id: UUID
    problem: InvoiceProblem


class AcceptanceCreate(Input):
    """Why an exception passes."""

    reason: Annotated[str, Described(min_length=1, max_length=1000)] = Field(
        schema_extra={"examples": ["the agency's extra hours were agreed on the phone"]}
    )


class InvoiceRead(Readable):
    """An invoice, and what became of it."""

    id: UUID
    line_id: UUID
    request_id: UUID | None
    vendor: str
    number: str
    amount: Money
    date: date
    state: InvoiceState
    problem: InvoiceProblem | None = Described(description="Why it is an exception.")
    reason: str | None = Described(description="Why an exception was let pass, or it was rejected or reversed.")
    accepted_by: str | None = Described(description="Who let something pass last.")
    accepted: list[str] = Described(description="Which problems were let pass.", examples=[["over_tolerance"]])
    received_by: str
    received_at: UtcDatetime
    posted_by: str | None
    posted_at: UtcDatetime | None
    version: Version


class InvoicePosted(Event):
    """It is spent, on its line, and counted once."""

    type: ClassVar[str] = "budget.invoice.posted"
    invoice_id: UUID
    request_id: UUID | None
    line_id: UUID
    amount: Money
