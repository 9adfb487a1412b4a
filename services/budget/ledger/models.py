"""Decides what the ledger keeps: entries that never change, a balance and holds per line; and what callers send and
get."""

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Self
from uuid import UUID

from pydantic import Field as Described
from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKeyConstraint, Index, Numeric, UniqueConstraint, text
from sqlmodel import Field

from chassis.audit import UNAUDITED
from chassis.db import enum_column, instant_column
from chassis.fields import Input, Money, Readable, UtcDatetime
from chassis.outbox import Event
from services.budget.db import Table
from services.budget.ledger.rules import Amounts, EntryKind, HoldState
from services.budget.rate.models import RateText

ZERO = {"server_default": "0"}


class Entry(Table, table=True):
    """What one entry adds to each account of a line, and what is on each after it, in minor units of the line's
    currency. `seq` counts a line's entries. The service's role may add entries, and neither change nor delete one."""

    __table_args__ = (
        ForeignKeyConstraint(["workspace_id", "line_id"], ["line.workspace_id", "line.id"]),
        CheckConstraint("allotted + transferred = available + reserved + committed + actual", name="balanced"),
        CheckConstraint("fx = CASE kind WHEN 'revalue' THEN reserved + committed + actual ELSE 0 END", name="fx"),
        CheckConstraint("price = 0 OR kind IN ('actual', 'release', 'reverse')", name="price"),
        Index(None, "workspace_id", "line_id", "recorded_at"),
        Index(
            "entry_workspace_id_line_id_booked_on_idx",
            "workspace_id",
            "line_id",
            "booked_on",
            postgresql_include=["actual", "recorded_at"],
            postgresql_where=text("actual <> 0"),
        ),
        Index(None, "workspace_id", "line_id", "id"),
        Index(None, "workspace_id", "line_id", "seq", unique=True),
        Index(None, "workspace_id", "subject_id", "id"),
        Index(None, "workspace_id", "movement_id", "id"),
        Index(None, "workspace_id", "kind", "id"),
        Index(None, "workspace_id", "recorded_at", "id"),
        Index(None, "workspace_id", "reverses", unique=True, postgresql_where=text("reverses IS NOT NULL")),
        {"info": UNAUDITED},
    )

    line_id: UUID
    kind: EntryKind = Field(sa_column=enum_column(EntryKind, "kind"))
    allotted: int = Field(sa_type=BigInteger)
    reserved: int = Field(sa_type=BigInteger)
    committed: int = Field(sa_type=BigInteger)
    actual: int = Field(sa_type=BigInteger)
    recorded_by: str
    recorded_at: datetime = Field(sa_column=instant_column("recorded_at"))
    reason: str
    transferred: int = Field(0, sa_type=BigInteger, sa_column_kwargs=ZERO)
    fx: int = Field(0, sa_type=BigInteger, sa_column_kwargs=ZERO)
    price: int = Field(0, sa_type=BigInteger, sa_column_kwargs=ZERO)
    available: int | None = Field(sa_type=BigInteger)
    seq: int | None = Field(sa_type=BigInteger)
    after_allotted: int | None = Field(sa_type=BigInteger)
    after_transferred: int | None = Field(sa_type=BigInteger)
    after_reserved: int | None = Field(sa_type=BigInteger)
    after_committed: int | None = Field(sa_type=BigInteger)
    after_actual: int | None = Field(sa_type=BigInteger)
    after_fx: int | None = Field(sa_type=BigInteger)
    # Null in entries that are older than the account.
    after_price: int | None = Field(sa_type=BigInteger)
    original_minor: int | None = Field(sa_type=BigInteger)
    original_currency: str | None
    rate: Decimal | None = Field(sa_column=Column("rate", Numeric, nullable=True))
    rate_on: date | None
    booked_on: date | None
    movement_id: UUID | None
    subject_id: UUID | None
    reverses: UUID | None

    # What only reading brings along: the currency of the line.
    @property
    def change(self) -> "EntryChange":
        names = ("allotted", "transferred", "available", "reserved", "committed", "actual", "fx", "price")
        currency = self.__dict__["currency"]
        money: dict[str, Any] = {name: Money.of_minor(getattr(self, name) or 0, currency) for name in names}
        return EntryChange.of(None, **money)

    @property
    def original(self) -> Money | None:
        return (self.original_currency and Money.of_minor(self.original_minor or 0, self.original_currency)) or None


class Balance(Table, table=True):
    """The sum of a line's entries under the line's own id, so that reads don't grow with history; and what a writer
    must know of the line: whether it stops at zero, since when it is open, when it is low."""

    __table_args__ = (
        ForeignKeyConstraint(["workspace_id", "id"], ["line.workspace_id", "line.id"]),
        {"info": UNAUDITED},
    )

    allotted: int = Field(sa_type=BigInteger)
    reserved: int = Field(sa_type=BigInteger)
    committed: int = Field(sa_type=BigInteger)
    actual: int = Field(sa_type=BigInteger)
    changed_at: datetime = Field(sa_column=instant_column("changed_at"))
    transferred: int = Field(0, sa_type=BigInteger, sa_column_kwargs=ZERO)
    fx: int = Field(0, sa_type=BigInteger, sa_column_kwargs=ZERO)
    price: int = Field(0, sa_type=BigInteger, sa_column_kwargs=ZERO)
    entries: int = Field(0, sa_type=BigInteger, sa_column_kwargs=ZERO)
    stops: bool = Field(True, sa_column_kwargs={"server_default": "true"})
    low_percent: int = Field(10, sa_column_kwargs={"server_default": "10"})
    closed_until: date | None = None


class Closing(Table, table=True):
    """How far a workspace is closed: a line that opens later is closed as far. Its periods say who did it."""

    __table_args__ = (UniqueConstraint("workspace_id"), {"info": UNAUDITED})

    closed_until: date | None


class Hold(Table, table=True):
    """Money of a line that is promised to something (`subject_id`: a request, a contract): what is left of it, in the
    currency that it was asked in and, at the pinned rate, in the line's."""

    __table_args__ = (
        ForeignKeyConstraint(["workspace_id", "line_id"], ["line.workspace_id", "line.id"]),
        CheckConstraint("original >= 0 AND amount >= 0", name="left"),
        Index(None, "workspace_id", "subject_id", "id"),
        Index(None, "workspace_id", "line_id", "id", postgresql_where=text("state IN ('reserved','committed')")),
        {"info": UNAUDITED},
    )

    line_id: UUID
    subject_id: UUID
    state: HoldState = Field(sa_column=enum_column(HoldState, "state"))
    currency: str
    original: int = Field(sa_type=BigInteger)
    amount: int = Field(sa_type=BigInteger)
    rate: Decimal = Field(sa_column=Column("rate", Numeric, nullable=False))
    rate_on: date
    held_at: datetime = Field(sa_column=instant_column("held_at"))
    resolved_at: datetime | None = Field(None, sa_column=instant_column("resolved_at", nullable=True))


class AllotmentCreate(Input):
    """Money to set aside on a line."""

    amount: Money = Field(description="More than zero, in the line's currency.")
    reason: Annotated[str, Described(max_length=1000)] = Field(
        "", description="Kept beside the entry.", schema_extra={"examples": ["Q3 budget"]}
    )


class Position(Readable):
    """What became of the money: available = allotted - reserved - committed - actual, all in one currency."""

    allotted: Money = Described(description="Set aside; what came from other lines and went to them included.")
    reserved: Money = Described(description="Promised to approved requests.")
    committed: Money = Described(description="Ordered, and not yet invoiced.")
    actual: Money = Described(description="Really spent.")
    available: Money = Described(description="What can still be asked for; below zero if a `warn` line was overspent.")
    transferred: Money = Described(description="Of what is allotted: from other lines, less what went to them.")
    fx: Money = Described(description="Of what isn't available: taken by exchange rates alone; below zero: given.")
    price: Money = Described(
        description="Of what isn't available: what orders cost beyond what they were placed for; below zero: less."
    )

    @classmethod
    def of_amounts(cls, amounts: Amounts, currency: str, *, only: frozenset[str] | None = None, **derived: Any) -> Self:
        """`amounts` as money in a currency."""
        pots = {**vars(amounts), "available": amounts.available, "allotted": amounts.allotted + amounts.transferred}
        money = {name: Money.of_minor(minor, currency) for name, minor in pots.items()}
        return cls.of(None, only=only, **money, **derived)


class LinePosition(Position):
    """A line's position in the line's currency."""

    IDENTITY: ClassVar[str] = "line_id"
    line_id: UUID


class PositionOfLine(Readable):
    """A line's position, as one of a batch."""

    IDENTITY: ClassVar[str] = "line_id"
    line_id: UUID
    position: Position


class PositionProblem(Readable):
    """Why there is no position."""

    code: str = Described(examples=["mixed_currencies"])
    detail: str = Described(examples=["lines in EUR, USD can't be added up in EUR: a rate is missing"])


class PositionOfCampaign(Readable):
    """The sum over all lines of a campaign in the workspace's reporting currency; null where there is a problem."""

    IDENTITY: ClassVar[str] = "campaign_id"
    campaign_id: UUID
    position: Position | None
    problem: PositionProblem | None = Described(
        description="`mixed_currencies`: a line is in another currency, and no rate of it is known."
    )


class ReversalCreate(Input):
    """Why an entry is taken back."""

    reason: Annotated[str, Described(min_length=1, max_length=1000)] = Field(
        schema_extra={"examples": ["allotted to the wrong line"]}
    )


class EntryChange(Readable):
    """What an entry adds to each account of its line: allotted + transferred = available + reserved + committed +
    actual."""

    IDENTITY: ClassVar[str] = "available"
    allotted: Money
    transferred: Money
    available: Money
    reserved: Money
    committed: Money
    actual: Money
    fx: Money = Described(description="How much of it exchange rates alone have moved.")
    price: Money = Described(description="How much of it is what an order cost beyond what it was placed for.")


class EntryRead(Readable):
    """One movement of a line's money; it never changes."""

    id: UUID
    line_id: UUID
    kind: EntryKind
    seq: int | None = Described(description="Counts the line's entries.")
    change: EntryChange
    original: Money | None = Described(description="What it was before it was converted.")
    rate: RateText | None = Described(description="What it was converted by, pinned.")
    rate_on: date | None
    booked_on: date | None = Described(description="The day that it counts in.")
    movement_id: UUID | None = Described(description="The same for all entries that balance each other.")
    subject_id: UUID | None = Described(description="The request, invoice, transfer or contract that it was made for.")
    reverses: UUID | None
    recorded_by: str
    recorded_at: UtcDatetime
    reason: str


class LedgerCheck(Readable):
    """Whether balances are what their entries sum to. All lists are empty in a sound ledger."""

    IDENTITY: ClassVar[str] = "lines"
    lines: int
    entries: int
    wrong_balances: list[UUID] = Described(description="Lines whose balance isn't the sum of their entries.")
    wrong_runs: list[UUID] = Described(description="Lines with an entry whose running balance isn't the sum so far.")
    wrong_holds: list[UUID] = Described(description="Lines that hold less or more than their open holds say.")
    below_zero: list[UUID] = Described(description="Lines that stop at zero, and are below it.")
    unbalanced_transfers: list[UUID] = Described(description="Movements between lines that don't sum to zero.")
    sound: bool


class LineMoved(Event):
    """What is on a line's accounts has changed: read its position."""

    type: ClassVar[str] = "budget.line.moved"
    line_id: UUID


class LineOverspent(Event):
    """More is taken of a line that only warns than it was given, by `missing`; told once when zero is crossed."""

    type: ClassVar[str] = "budget.line.overspent"
    line_id: UUID
    campaign_id: UUID | None
    missing: Money


class LineLow(Event):
    """A line has less left than the share that it is watched for; told once when that line is crossed."""

    type: ClassVar[str] = "budget.line.low"
    line_id: UUID
    campaign_id: UUID | None
    available: Money
    allotted: Money
