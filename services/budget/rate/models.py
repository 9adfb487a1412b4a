"""Decides what is kept of rates that a workspace imported, and what callers send and get."""

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, ClassVar
from uuid import UUID

from pydantic import Field as Described
from pydantic import PlainSerializer, WithJsonSchema
from sqlalchemy import Column, Index, Numeric, UniqueConstraint
from sqlmodel import Field

from chassis.audit import UNAUDITED
from chassis.db import instant_column
from chassis.fields import Input, Readable, UtcDatetime
from services.budget.db import Table

RateText = Annotated[
    Decimal,
    PlainSerializer(lambda rate: format(rate, "f"), return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "decimal", "examples": ["0.925"]}),
]


class ImportedRate(Table, table=True):
    """What one euro was in a currency on a day. It comes before the reference rate of that day."""

    __tablename__ = "rate"
    __table_args__ = (
        UniqueConstraint("workspace_id", "currency", "day"),
        Index(None, "workspace_id", "currency", "id"),
        Index(None, "workspace_id", "day", "id"),
        {"info": UNAUDITED},
    )

    currency: str
    day: date
    per_euro: Decimal = Field(sa_column=Column("per_euro", Numeric, nullable=False))
    imported_by: str
    imported_at: datetime = Field(sa_column=instant_column("imported_at"))


class RatesImport(Input):
    """Rates as the ECB publishes them."""

    csv: str = Field(
        max_length=900_000,
        description="A row `Date,USD,JPY,...`, then a row for each day; what one euro was in each. N/A where there is"
        " none. A day that is there already is replaced.",
        schema_extra={"examples": ["Date,USD,JPY\n2026-06-12,1.1172,175.68"]},
    )


class RatesImported(Readable):
    """What an import brought."""

    IDENTITY: ClassVar[str] = "rates"
    rates: int = Described(description="Rates in it, new or replaced.")
    first: date
    last: date


class RateRead(Readable):
    """A rate that the workspace imported."""

    id: UUID
    currency: str
    day: date
    per_euro: RateText
    imported_by: str
    imported_at: UtcDatetime


class Conversion(Readable):
    """How much of another currency one unit of a currency is."""

    currency: str
    into: str
    value: RateText
    day: date = Described(description="Whose rate it is: the last known on or before the day asked for.")


class Conversions(Readable):
    """The rates that were asked for, in that order."""

    conversions: list[Conversion]
