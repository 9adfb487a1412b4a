"""Decides what an observation is made of: a figure that was measured elsewhere, and what became of it since."""

from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Self
from uuid import UUID

from pydantic import BaseModel, StringConstraints, model_validator
from pydantic import Field as Described
from sqlalchemy import Column, ForeignKeyConstraint, Index, Numeric, UniqueConstraint
from sqlmodel import Field

from chassis.db import instant_column
from chassis.fields import Day, DecimalText, Input, Money, Name, Readable, UtcDatetime, places_of
from services.metrics.db import Table
from services.metrics.observation.rules import MOST_ROWS

Key = Annotated[str, StringConstraints(min_length=1, max_length=100)]
Reference = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200)]
Note = Annotated[str, StringConstraints(max_length=2000)]
# As many digits as a figure may have, before and after the point.
Figure = Annotated[DecimalText, Described(max_digits=18, decimal_places=6)]


class Observation(Table, table=True):
    """What somebody recorded, which never changes: a correction is another row. `amount` is the figure, of money in
    minor units; None where it was taken back. Those that hold have no `superseded_at`."""

    __table_args__ = (
        ForeignKeyConstraint(["workspace_id", "campaign_id"], ["metrics.campaign.workspace_id", "metrics.campaign.id"]),
        ForeignKeyConstraint(
            ["workspace_id", "corrects_id"], ["metrics.observation.workspace_id", "metrics.observation.id"]
        ),
        UniqueConstraint("workspace_id", "corrects_id"),
        # One figure holds for each of these.
        Index(
            "observation_holds_key", "workspace_id", "metric", "day", "campaign_id", "reference", unique=True,
            postgresql_where="superseded_at IS NULL", postgresql_nulls_not_distinct=True,
        ),
        # What series read, what held then included.
        Index(None, "workspace_id", "metric", "day"),
        Index(None, "workspace_id", "metric", "recorded_at"),
        *(Index(None, "workspace_id", each, "id") for each in ("campaign_id", "metric", "day", "recorded_at")),
    )  # fmt: skip

    metric: str
    campaign_id: UUID | None
    day: date
    amount: Decimal | None = Field(sa_column=Column("amount", Numeric, nullable=True))
    currency: str | None
    reference: str
    note: str
    recorded_at: datetime = Field(sa_column=instant_column("recorded_at"))
    recorded_by: str
    corrects_id: UUID | None = None
    reason: str | None = None
    superseded_at: datetime | None = Field(default=None, sa_column=instant_column("superseded_at", nullable=True))

    @property
    def value(self) -> Decimal | None:
        if self.amount is None:
            return None
        if self.currency is None:
            # Numeric keeps the zeros that came in, and none of them says anything.
            whole = self.amount.to_integral_value()
            return whole if self.amount == whole else self.amount.normalize()
        return Money.of_minor(int(self.amount), self.currency).amount

    @property
    def money(self) -> Money | None:
        if self.amount is None or self.currency is None:
            return None
        return Money.of_minor(int(self.amount), self.currency)


class _Figure(Input):
    value: Figure | None = Field(None, description="What was measured, in the metric's unit.")
    money: Money | None = Field(None, description="In its place, where the metric's unit is money.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.value is None) == (self.money is None):
            raise ValueError("give either a value or money")
        return self

    @property
    def amount(self) -> Decimal:
        """As it is kept."""
        return Decimal(self.money.minor) if self.money else self.value or Decimal(0)

    @property
    def figure(self) -> Decimal:
        """As it is meant."""
        return self.money.amount if self.money else self.value or Decimal(0)

    @property
    def currency(self) -> str | None:
        return self.money.currency if self.money else None


class ObservationCreate(_Figure):
    """A figure that was measured elsewhere."""

    metric: Key = Field(description="A metric that is observed.", schema_extra={"examples": ["web.visits"]})
    day: Day = Field(
        description="The local day that it counts on; of a longer period its first.",
        schema_extra={"examples": ["2026-03-01"]},
    )
    campaign_id: UUID | None = Field(None, description="The campaign that it is of; null: of none.")
    reference: Reference = Field(
        "", description="Tells figures of the same metric, day and campaign apart: an order's number, a shop's name."
    )
    note: Note = Field("", description="How it was come by.")


class ObservationCorrect(_Figure):
    """What the figure should have been."""

    reason: Name = Field(description="Why.", schema_extra={"examples": ["Returns were left out"]})


class ObservationWithdraw(Input):
    """That there should be no such figure."""

    reason: Name = Field(description="Why.", schema_extra={"examples": ["Belongs to another campaign"]})


class ObservationRead(Readable):
    """A figure that somebody recorded. A correction is another one, that names it."""

    id: UUID
    metric: str
    campaign_id: UUID | None
    day: date
    value: DecimalText | None = Described(description="In the metric's unit; null: it was taken back.")
    money: Money | None = Described(description="The same where the metric's unit is money.")
    reference: str
    note: str
    recorded_at: UtcDatetime
    recorded_by: str = Described(description="Whose token it was.")
    corrects_id: UUID | None = Described(description="The one in whose place it holds; null: it is the first.")
    reason: str | None = Described(description="Why it holds in place of that one.")
    superseded_at: UtcDatetime | None = Described(description="Since when another holds in its place; null: it holds.")


class ObservationImport(Input):
    """Many figures at once."""

    rows: list[ObservationCreate] = Field(min_length=1, max_length=MOST_ROWS)
    reason: Name | None = Field(
        None, description="Why figures that differ are to be corrected; null: they are refused."
    )


class Outcome(StrEnum):
    """What became of a row. `unchanged`: that figure holds already."""

    RECORDED = "recorded"
    CORRECTED = "corrected"
    UNCHANGED = "unchanged"
    REFUSED = "refused"


class RowError(BaseModel):
    """What is wrong with a row."""

    field: str
    code: str
    message: str


class ImportedRow(BaseModel):
    """What became of one row."""

    row: int = Described(description="Its place from 1 on; in a file, its line.")
    outcome: Outcome
    observation_id: UUID | None = Described(description="What holds now; null where nothing was kept.")
    errors: list[RowError] = []


class ImportAnswer(BaseModel):
    """What became of each row. Those that are refused cost the others nothing."""

    dry_run: bool = Described(description="Whether nothing was kept, as asked.")
    recorded: int
    corrected: int
    unchanged: int
    refused: int
    rows: list[ImportedRow]


def minor_places(currency: str | None) -> int:
    """How many decimal places an amount has that is kept as a whole number."""
    return places_of(currency) if currency else 0
