"""Decides what is kept and told of a decision on a contract's renewal, and what is sent to make one."""

from datetime import date, datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field as Described
from pydantic import StringConstraints
from sqlalchemy import BigInteger, ForeignKeyConstraint, Index
from sqlmodel import Field

from chassis.audit import UNAUDITED
from chassis.db import enum_column, instant_column
from chassis.fields import Input, Interval, Money, Readable, UtcDatetime
from services.budget.contract.models import Seats
from services.budget.db import Table
from services.budget.renewal.rules import DecisionKind


class ContractDecision(Table, table=True):
    """What was decided of a renewal, with what was known of the seats. Never changed: a later one replaces it."""

    __tablename__ = "contract_decision"
    __table_args__ = (
        ForeignKeyConstraint(["workspace_id", "contract_id"], ["contract.workspace_id", "contract.id"]),
        Index(None, "workspace_id", "contract_id", "id"),
        Index(None, "workspace_id", "decided_at", "id"),
        Index(None, "workspace_id", "kind", "id"),
        {"info": UNAUDITED},
    )

    contract_id: UUID
    kind: DecisionKind = Field(sa_column=enum_column(DecisionKind, "kind"))
    by_default: bool
    reason: str
    decided_by: str
    decided_at: datetime = Field(sa_column=instant_column("decided_at"))
    term_start: date
    term_end: date
    currency: str
    cost_minor: int = Field(sa_type=BigInteger)
    next_minor: int | None = Field(sa_type=BigInteger)
    idle_seats: int | None
    wasted_minor: int | None = Field(sa_type=BigInteger)

    @property
    def term(self) -> Interval:
        return Interval.of(self.term_start, self.term_end)

    @property
    def cost(self) -> Money:
        return Money.of_minor(self.cost_minor, self.currency)

    @property
    def next_cost(self) -> Money | None:
        return None if self.next_minor is None else Money.of_minor(self.next_minor, self.currency)

    @property
    def wasted(self) -> Money | None:
        return None if self.wasted_minor is None else Money.of_minor(self.wasted_minor, self.currency)


class ContractDecisionRead(Readable):
    """What was decided of a renewal, by whom and why, and what was known then."""

    id: UUID
    contract_id: UUID
    kind: DecisionKind
    by_default: bool = Described(description="Nobody had decided when the notice deadline passed.")
    reason: str
    decided_by: str
    decided_at: UtcDatetime
    term: Interval = Described(description="The term that it is about the end of.")
    cost: Money = Described(description="Of that term.")
    next_cost: Money | None = Described(description="Of the next one; null when there is none.")
    idle_seats: int | None = Described(
        description="Seats that nobody had used for 30 days, or that nobody had; null where none are known."
    )
    wasted: Money | None = Described(description="What these cost in that month.")


Reason = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=1000),
    Described(description="Why, for those it concerns.", examples=["Half of the seats are idle"]),
]


class ContractRenewal(Input):
    """Goes on at the cost that is known."""

    reason: Reason
    seat_count: Seats | None = Field(
        None, description="Of the next term; null: as many as now.", schema_extra={"examples": [20]}
    )


class ContractTermination(Input):
    """Ends with the term."""

    reason: Reason


class ContractRenegotiation(Input):
    """Goes on at another cost."""

    reason: Reason
    cost: Money = Field(description="Of the next term, in the contract's currency.")
    seat_count: Seats | None = Field(
        None, description="Of the next term; null: as many as now.", schema_extra={"examples": [20]}
    )
