"""Decides what a saved way to read files is made of: its row, and what callers send and get."""

from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import Field as Described
from pydantic import StringConstraints, model_validator
from sqlalchemy import Column, ForeignKeyConstraint, Index, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field

from chassis.db import enum_column, instant_column
from chassis.editing import Editable, Patch
from chassis.fields import Currency, Input, Name, Readable, UtcDatetime, Version
from services.budget.db import Table
from services.budget.mapping.rules import DateOrder, DecimalMark, FileKind, How, Said, SpendingSign

Heading = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


class StatementMapping(Table, Editable, table=True):
    """`columns` are headings by what they say, `lines` the ids of lines by what files call them."""

    __tablename__ = "statement_mapping"
    __table_args__ = (
        ForeignKeyConstraint(["workspace_id", "line_id"], ["line.workspace_id", "line.id"]),
        UniqueConstraint("workspace_id", "name"),
        *(Index(None, "workspace_id", each, "id") for each in ("name", "kind", "line_id", "created_at")),
    )

    name: str
    kind: FileKind = Field(sa_column=enum_column(FileKind, "kind"))
    columns: dict[str, str] = Field(sa_column=Column("columns", JSONB, nullable=False))
    sheet: str | None
    date_order: DateOrder | None = Field(sa_column=enum_column(DateOrder, "date_order", nullable=True))
    decimal_mark: DecimalMark = Field(sa_column=enum_column(DecimalMark, "decimal_mark"))
    spending: SpendingSign = Field(sa_column=enum_column(SpendingSign, "spending"))
    currency: str | None
    line_id: UUID | None
    lines: list[dict[str, str]] = Field(sa_column=Column("lines", JSONB, nullable=False))
    created_by: str
    created_at: datetime = Field(sa_column=instant_column("created_at"))

    @property
    def wanted(self) -> dict[Said, str]:
        return {Said(said): name for said, name in self.columns.items()}

    @property
    def how(self) -> How:
        return How(
            self.date_order and DateOrder(self.date_order), DecimalMark(self.decimal_mark),
            SpendingSign(self.spending), self.currency,
        )  # fmt: skip


class MappedColumns(Input):
    """What the file's columns are called, by what they say. Case and spaces don't matter."""

    date: Heading = Field(schema_extra={"examples": ["Booking date"]})
    amount: Heading | None = Field(None, schema_extra={"examples": ["Amount"]})
    debit: Heading | None = Field(
        None, description="What was spent, where it has a column of its own; instead of `amount`."
    )
    credit: Heading | None = Field(None, description="What came back, beside a `debit`.")
    currency: Heading | None = Field(None, schema_extra={"examples": ["Currency"]})
    vendor: Heading | None = Field(None, schema_extra={"examples": ["Payee"]})
    reference: Heading | None = Field(
        None, description="What names a row for good, such as a transaction's number.",
        schema_extra={"examples": ["Transaction"]},
    )  # fmt: skip
    description: Heading | None = Field(None, schema_extra={"examples": ["Purpose"]})
    po_number: Heading | None = Field(
        None, description="The number of an order: its row is an invoice of it.",
        schema_extra={"examples": ["Purchase order"]},
    )  # fmt: skip
    line: Heading | None = Field(
        None, description="Says whose money it is: see `lines`.", schema_extra={"examples": ["Cost centre"]}
    )

    @model_validator(mode="after")
    def _amounts_are_somewhere(self) -> Self:
        if (self.amount is None) == (self.debit is None) or (self.credit is not None and self.debit is None):
            raise ValueError("name a column for amount, or one for debit and perhaps one for credit")
        return self


class MappedLine(Input):
    """What files call a line."""

    value: Heading = Field(schema_extra={"examples": ["4711"]})
    line_id: UUID


class StatementMappingCreate(Input):
    """How the files of some bank, card, ERP or ad platform are read."""

    name: Name = Field(schema_extra={"examples": ["Company card"]})
    kind: FileKind
    columns: MappedColumns
    sheet: Heading | None = Field(
        None, description="Which sheet of a workbook; the first where none is named.",
        schema_extra={"examples": ["Transactions"]},
    )  # fmt: skip
    date_order: DateOrder | None = Field(
        None, description="Where days are numbers: without it, a row whose day could be two is refused."
    )
    decimal_mark: DecimalMark = DecimalMark.POINT
    spending: SpendingSign = Field(SpendingSign.POSITIVE, description="The sign of what was spent.")
    currency: Currency | None = Field(None, description="Of rows that name none.")
    line_id: UUID | None = Field(None, description="Whose money rows are that name no line and no order.")
    lines: list[MappedLine] = Field(
        [],
        max_length=500,
        description="What files call lines. A line's own id, and its name where only one is called so, are understood"
        " without.",
    )

    @model_validator(mode="after")
    def _lines_are_called_once(self) -> Self:
        called = [each.value.casefold() for each in self.lines]
        if len(called) != len(set(called)):
            raise ValueError("a value names one line")
        names = [name.casefold() for name in self.columns.model_dump(exclude_none=True).values()]
        if len(names) != len(set(names)):
            raise ValueError("a column says one thing")
        return self

    def row(self) -> dict[str, Any]:
        """As it is kept."""
        columns = self.columns.model_dump(exclude_none=True)
        lines = [{"value": each.value, "line_id": str(each.line_id)} for each in self.lines]
        return self.model_dump(exclude={"columns", "lines"}) | {"columns": columns, "lines": lines}


class StatementMappingPatch(Patch, of=StatementMappingCreate):
    """What may change of it; what was uploaded before goes on as it was read."""


class StatementMappingRead(Readable):
    """How the files of some bank, card, ERP or ad platform are read."""

    id: UUID
    name: str
    kind: FileKind
    columns: MappedColumns
    sheet: str | None
    date_order: DateOrder | None
    decimal_mark: DecimalMark
    spending: SpendingSign
    currency: str | None
    line_id: UUID | None
    lines: list[MappedLine]
    created_by: str
    created_at: UtcDatetime = Described(description="When it was first saved.")
    version: Version
