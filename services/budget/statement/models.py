"""Decides what an import of somebody else's file is made of: its rows, and what callers send and get."""

from datetime import date, datetime
from typing import Annotated, Any, ClassVar
from uuid import UUID

from pydantic import Field as Described
from sqlalchemy import BigInteger, Column, ForeignKeyConstraint, Index, LargeBinary, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field

from chassis.audit import UNAUDITED
from chassis.db import enum_column, instant_column
from chassis.editing import Editable
from chassis.fields import Input, Money, Readable, UtcDatetime, Version
from chassis.outbox import Event
from services.budget.db import Table
from services.budget.statement.rules import RowOutcome, StatementState


class Statement(Table, Editable, table=True):
    """`reading` is the mapping as it was when the file came, and where its columns are; `position` counts the chunks
    that are posted or, while it is undone, is the last row that was looked at."""

    __table_args__ = (
        ForeignKeyConstraint(
            ["workspace_id", "mapping_id"], ["statement_mapping.workspace_id", "statement_mapping.id"]
        ),
        *(Index(None, "workspace_id", each, "id") for each in ("mapping_id", "state", "sha256", "uploaded_at")),
    )  # fmt: skip

    mapping_id: UUID
    filename: str
    size: int = Field(sa_type=BigInteger)
    sha256: str
    reading: dict[str, Any] = Field(sa_column=Column("reading", JSONB, nullable=False))
    dry_run: bool
    state: StatementState = Field(StatementState.PENDING, sa_column=enum_column(StatementState, "state"))
    problem: str | None = None
    message: str | None = None
    # What a dry run would have changed so far, so that its next chunk finds it so.
    rehearsed: dict[str, Any] | None = Field(None, sa_column=Column("rehearsed", JSONB(none_as_null=True)))
    position: int = 0
    chunks: int = 0
    rows: int = 0
    seen: int = 0
    posted: int = 0
    exceptions: int = 0
    duplicates: int = 0
    bad: int = 0
    undone: int = 0
    uploaded_by: str
    uploaded_at: datetime = Field(sa_column=instant_column("uploaded_at"))
    posted_by: str | None = None
    finished_at: datetime | None = Field(None, sa_column=instant_column("finished_at", nullable=True))
    undone_by: str | None = None
    reason: str | None = None


class StatementPart(Table, table=True):
    """A piece of an import's file, and once it is read a chunk of its rows; gone when they are posted."""

    __tablename__ = "statement_part"
    __table_args__ = (
        ForeignKeyConstraint(["workspace_id", "statement_id"], ["statement.workspace_id", "statement.id"]),
        UniqueConstraint("workspace_id", "statement_id", "place"),
        {"info": UNAUDITED},
    )

    statement_id: UUID
    place: int
    data: bytes = Field(sa_type=LargeBinary)


class StatementRow(Table, table=True):
    """What became of one row. `claim` is held by the one row that counts of all that tell the same; the row's id is
    also its ledger entry's. `spent` and `worth` as of an invoice, in minor units of the line's currency."""

    __tablename__ = "statement_row"
    __table_args__ = (
        ForeignKeyConstraint(["workspace_id", "statement_id"], ["statement.workspace_id", "statement.id"]),
        ForeignKeyConstraint(["workspace_id", "line_id"], ["line.workspace_id", "line.id"]),
        ForeignKeyConstraint(["workspace_id", "invoice_id"], ["invoice.workspace_id", "invoice.id"]),
        UniqueConstraint("workspace_id", "claim"),
        Index(None, "workspace_id", "statement_id", "number", unique=True),
        Index(None, "workspace_id", "statement_id", "outcome", "id"),
        *(Index(None, "workspace_id", each, "id") for each in ("statement_id", "line_id", "outcome", "invoice_id")),
        {"info": UNAUDITED},
    )

    statement_id: UUID
    number: int
    outcome: RowOutcome = Field(sa_column=enum_column(RowOutcome, "outcome"))
    field: str | None
    code: str | None
    message: str | None
    dated: date | None
    currency: str | None
    minor: int | None = Field(sa_type=BigInteger)
    vendor: str | None
    reference: str | None
    description: str | None
    po_number: str | None
    line: str | None
    line_id: UUID | None
    invoice_id: UUID | None
    duplicate_of: UUID | None
    claim: bytes | None = Field(sa_type=LargeBinary)
    spent: int | None = Field(sa_type=BigInteger)
    worth: int | None = Field(sa_type=BigInteger)


class StatementUpload(Input):
    """How a file is taken in."""

    mapping_id: UUID = Field(description="How it is read.")
    dry_run: bool = Field(False, description="Say what each row would do, and post nothing.")


class StatementUndo(Input):
    """Why it is taken back."""

    reason: Annotated[str, Described(min_length=1, max_length=1000)] = Field(
        schema_extra={"examples": ["read with the wrong mapping"]}
    )


class StatementFinished(Event):
    """An import is over, as far as it goes by itself: `done`, `failed` or `undone`."""

    type: ClassVar[str] = "budget.statement.finished"
    statement_id: UUID
    dry_run: bool
    state: StatementState
    problem: str | None
    posted: int
    exceptions: int
    duplicates: int
    bad: int


class StatementRead(Readable):
    """An import of a file, and how far it is. Rows are counted by what became of them; a dry run's by what would."""

    id: UUID
    mapping_id: UUID
    filename: str
    size: int
    sha256: str
    dry_run: bool
    state: StatementState
    problem: str | None = Described(description="Why it failed: a code.", examples=["missing_columns"])
    message: str | None = Described(description="The same in words.")
    rows: int = Described(description="In the file, below its header; 0 until it is read.")
    seen: int = Described(description="Rows that were looked at.")
    posted: int
    exceptions: int = Described(description="Rows that can be read, and can't be posted as things are.")
    duplicates: int
    bad: int = Described(description="Rows that can't be read.")
    undone: int
    uploaded_by: str
    uploaded_at: UtcDatetime
    posted_by: str | None
    finished_at: UtcDatetime | None
    undone_by: str | None
    reason: str | None = Described(description="Why it was undone.")
    version: Version


class StatementRowRead(Readable):
    """What became of one row of a file; in a dry run what would."""

    id: UUID
    statement_id: UUID
    number: int = Described(description="Of its line in the file, or of its row in the sheet.")
    outcome: RowOutcome
    field: str | None = Described(description="What of a bad row can't be read.", examples=["amount"])
    code: str | None = Described(description="Why it isn't posted.", examples=["does_not_fit"])
    message: str | None = Described(description="The same in words.")
    date: date | None
    amount: Money | None
    vendor: str | None
    reference: str | None
    description: str | None
    po_number: str | None
    line: str | None = Described(description="What the file calls the line.")
    line_id: UUID | None
    invoice_id: UUID | None = Described(description="Where it is an invoice of an order.")
    duplicate_of: UUID | None = Described(description="The row that counts in its place.")
