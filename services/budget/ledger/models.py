"""Decides what the ledger keeps: entries that never change, a balance per line; and what callers send and get."""

from datetime import datetime
from typing import Annotated, Any, ClassVar, Self
from uuid import UUID

from pydantic import Field as Described
from sqlalchemy import BigInteger, ForeignKeyConstraint, Index
from sqlmodel import Field

from chassis.audit import UNAUDITED
from chassis.db import enum_column, instant_column
from chassis.fields import Input, Money, Readable
from services.budget.db import Table
from services.budget.ledger.rules import Amounts, EntryKind


class Entry(Table, table=True):
    """What one entry adds to each pot of a line, in minor units of the line's currency. The service's role may add
    entries, and neither change nor delete one."""

    __table_args__ = (
        ForeignKeyConstraint(["workspace_id", "line_id"], ["line.workspace_id", "line.id"]),
        Index(None, "workspace_id", "line_id", "recorded_at"),
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


class Balance(Table, table=True):
    """The sum of a line's entries under the line's own id, so that reads don't grow with history."""

    __table_args__ = (
        ForeignKeyConstraint(["workspace_id", "id"], ["line.workspace_id", "line.id"]),
        {"info": UNAUDITED},
    )

    allotted: int = Field(sa_type=BigInteger)
    reserved: int = Field(sa_type=BigInteger)
    committed: int = Field(sa_type=BigInteger)
    actual: int = Field(sa_type=BigInteger)
    changed_at: datetime = Field(sa_column=instant_column("changed_at"))

    @property
    def amounts(self) -> Amounts:
        return Amounts(self.allotted, self.reserved, self.committed, self.actual)


class AllotmentCreate(Input):
    """Money to set aside on a line."""

    amount: Money = Field(description="More than zero, in the line's currency.")
    reason: Annotated[str, Described(max_length=1000)] = Field(
        "", description="Kept beside the entry.", schema_extra={"examples": ["Q3 budget"]}
    )


class Position(Readable):
    """What became of the money: available = allotted - reserved - committed - actual, all in one currency."""

    allotted: Money = Described(description="Set aside.")
    reserved: Money = Described(description="Promised to approved requests.")
    committed: Money = Described(description="Ordered, and not yet invoiced.")
    actual: Money = Described(description="Really spent.")
    available: Money = Described(description="What can still be asked for; below zero if a `warn` line was overspent.")

    @classmethod
    def of_amounts(cls, amounts: Amounts, currency: str, *, only: frozenset[str] | None = None, **derived: Any) -> Self:
        """`amounts` as money in a currency."""
        pots = {**vars(amounts), "available": amounts.available}
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
    detail: str = Described(examples=["lines in EUR, USD can't be added up in EUR"])


class PositionOfCampaign(Readable):
    """The sum over all lines of a campaign in the workspace's reporting currency; null where there is a problem."""

    IDENTITY: ClassVar[str] = "campaign_id"
    campaign_id: UUID
    position: Position | None
    problem: PositionProblem | None = Described(description="`mixed_currencies`: a line is in another currency.")
