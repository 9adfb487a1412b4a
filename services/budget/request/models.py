"""Decides what a request for money is made of: its rows, and what callers send and get."""

from datetime import date, datetime
from typing import Annotated, Any, ClassVar, Self
from uuid import UUID

from pydantic import Field as Described
from pydantic import model_validator
from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlmodel import Field

from chassis.audit import UNAUDITED
from chassis.db import enum_column, instant_column
from chassis.editing import Editable, Patch
from chassis.fields import Input, Interval, Money, Name, Readable, UtcDatetime, Version
from chassis.outbox import Event
from services.budget.db import Table
from services.budget.request.rules import RequestState, RequestVerdict

FILTERED = ("state", "line_id", "campaign_id", "department", "category", "requested_by", "vendor", "created_at",
            "submitted_at", "decided_at", "amount")  # fmt: skip


class SpendRequest(Table, Editable, table=True):
    """Amounts are minor units of `currency`; `worth` is the whole in the reporting currency at the rate of the day that
    it was submitted, by which bands are found."""

    __tablename__ = "request"
    __table_args__ = (
        ForeignKeyConstraint(["workspace_id", "line_id"], ["line.workspace_id", "line.id"]),
        UniqueConstraint("workspace_id", "po_number"),
        CheckConstraint("invoiced >= 0 AND received >= 0", name="sums"),
        *(Index(None, "workspace_id", each, "id") for each in FILTERED),
        Index(None, "expires_at", postgresql_where=text("state = 'approved'")),
    )

    title: str
    line_id: UUID
    currency: str
    amount: int = Field(sa_type=BigInteger)
    worth: int | None = Field(None, sa_type=BigInteger)
    vendor: str | None
    category: str | None
    department: str
    campaign_id: UUID | None
    # Another service's keys, and no more.
    asset_ids: list[UUID] = Field(
        default_factory=list, sa_column=Column("asset_ids", ARRAY(Uuid), nullable=False, server_default="{}")
    )
    itemised: bool
    state: RequestState = Field(RequestState.DRAFT, sa_column=enum_column(RequestState, "state"))
    reason: str | None = None
    requested_by: str
    created_at: datetime = Field(sa_column=instant_column("created_at"))
    submitted_at: datetime | None = Field(None, sa_column=instant_column("submitted_at", nullable=True))
    submitted_by: str | None = None
    waiting_since: datetime | None = Field(None, sa_column=instant_column("waiting_since", nullable=True))
    layers_done: int = 0
    decided_at: datetime | None = Field(None, sa_column=instant_column("decided_at", nullable=True))
    decided_by: str | None = None
    decision_seconds: int | None = Field(None, sa_type=BigInteger)
    expires_at: datetime | None = Field(None, sa_column=instant_column("expires_at", nullable=True))
    po_number: str | None = None
    committed_at: datetime | None = Field(None, sa_column=instant_column("committed_at", nullable=True))
    received: int = Field(0, sa_type=BigInteger)
    invoiced: int = Field(0, sa_type=BigInteger)
    ended_at: datetime | None = Field(None, sa_column=instant_column("ended_at", nullable=True))


class RequestItem(Table, table=True):
    """What of a request is for which line, perhaps for some days of it. What is held on a line has the id of the first
    item that is for it."""

    __tablename__ = "request_item"
    __table_args__ = (
        ForeignKeyConstraint(["workspace_id", "request_id"], ["request.workspace_id", "request.id"]),
        ForeignKeyConstraint(["workspace_id", "line_id"], ["line.workspace_id", "line.id"]),
        Index(None, "workspace_id", "request_id", "id"),
        Index(None, "workspace_id", "line_id", "id"),
        {"info": UNAUDITED},
    )

    request_id: UUID
    line_id: UUID
    amount: int = Field(sa_type=BigInteger)
    description: str
    start: date | None
    finish: date | None


class Decision(Table, table=True):
    """What somebody decided on one layer of a request, and how long it waited for them."""

    __tablename__ = "decision"
    __table_args__ = (
        ForeignKeyConstraint(["workspace_id", "request_id"], ["request.workspace_id", "request.id"]),
        Index(None, "workspace_id", "request_id", "id"),
        Index(None, "workspace_id", "decided_by", "id"),
        Index(None, "workspace_id", "decided_at", "id"),
        {"info": UNAUDITED},
    )

    request_id: UUID
    layer: int
    band_id: UUID | None
    band_name: str | None
    verdict: RequestVerdict = Field(sa_column=enum_column(RequestVerdict, "verdict"))
    decided_by: str
    in_place_of: str | None
    waited_since: datetime = Field(sa_column=instant_column("waited_since"))
    decided_at: datetime = Field(sa_column=instant_column("decided_at"))
    seconds: int = Field(sa_type=BigInteger)
    reason: str | None


class Counter(Table, table=True):
    """Counts what is numbered in a workspace without a gap."""

    __tablename__ = "counter"
    __table_args__ = (UniqueConstraint("workspace_id", "name"), {"info": UNAUDITED})

    name: str
    value: int = Field(sa_type=BigInteger)


class RequestPart(Input):
    """What of a request is for which line."""

    line_id: UUID
    amount: Money = Field(description="In the currency of the request; all of them are its amount.")
    description: Annotated[str, Described(max_length=1000)] = ""
    period: Interval | None = Field(None, description="Which days it is for.")


class SpendRequestCreate(Input):
    """Money that somebody asks for."""

    title: Name = Field(schema_extra={"examples": ["Photographer for the spring campaign"]})
    line_id: UUID = Field(description="Whose money it is; with `items`, the line that speaks for all of them.")
    amount: Money = Field(description="In any currency; it is pinned at the rate of the day of its approval.")
    vendor: Name | None = None
    category: Name | None = Field(None, description="By which bands of approval may differ.")
    campaign_id: UUID | None = None
    asset_ids: list[UUID] = Field(
        [],
        max_length=50,
        description="What is attached to it, as assets: offers, briefs. Whether they exist isn't asked.",
    )
    items: list[RequestPart] = Field([], max_length=50, description="None: all of it is for `line_id`.")

    @model_validator(mode="after")
    def _items_are_the_whole(self) -> Self:
        if self.amount.minor <= 0 or any(item.amount.minor <= 0 for item in self.items):
            raise ValueError("amounts must be more than zero")
        if any(item.amount.currency != self.amount.currency for item in self.items):
            raise ValueError(f"items must be in {self.amount.currency}, as the request is")
        if self.items and sum(item.amount.minor for item in self.items) != self.amount.minor:
            raise ValueError("items must sum to the amount of the request")
        return self

    def columns(self) -> dict[str, Any]:
        """As the row has it."""
        money = {"amount": self.amount.minor, "currency": self.amount.currency, "itemised": bool(self.items)}
        return self.model_dump(exclude={"amount", "items"}) | money

    def parts(self) -> list[RequestPart]:
        """What is for which line, the whole where it isn't split."""
        return self.items or [RequestPart.model_validate({"line_id": self.line_id, "amount": self.amount})]


class SpendRequestPatch(Patch, of=SpendRequestCreate):
    """What may change of a draft."""


class SpendRequestRead(Readable):
    """Money that somebody asks for, and what became of it."""

    id: UUID
    title: str
    line_id: UUID
    amount: Money
    vendor: str | None
    category: str | None
    department: str
    campaign_id: UUID | None
    asset_ids: list[UUID]
    items: list[RequestPart]
    state: RequestState
    reason: str | None = Described(description="Why it was rejected or voided.")
    requested_by: str
    submitted_at: UtcDatetime | None
    submitted_by: str | None
    decided_at: UtcDatetime | None
    decided_by: str | None
    decision_seconds: int | None = Described(description="From when it was submitted until it was decided.")
    layers_done: int = Described(description="Layers of approval that it has passed.")
    expires_at: UtcDatetime | None = Described(description="When what is reserved is let go of, unless it's committed.")
    po_number: str | None
    committed_at: UtcDatetime | None
    received: Money = Described(description="Goods and services that have arrived, for three-way matching.")
    invoiced: Money = Described(description="What posted invoices have in all.")
    ended_at: UtcDatetime | None
    version: Version
    created_at: UtcDatetime


class RejectionCreate(Input):
    """Why it ends here."""

    reason: Annotated[str, Described(min_length=1, max_length=1000)] = Field(
        schema_extra={"examples": ["not this quarter"]}
    )


class OrderCreate(Input):
    """An order that was placed."""

    po_number: Annotated[str, Described(min_length=1, max_length=100)] | None = Field(
        None, description="Yours; ours where there is none: PO-000001 and on."
    )


class ReceiptCreate(Input):
    """What has arrived."""

    amount: Money = Field(description="Worth of it, in the currency of the request.")


class DecisionRead(Readable):
    """What somebody decided on one layer of a request."""

    id: UUID
    request_id: UUID
    layer: int = Described(description="1 is the lowest.")
    band_id: UUID | None
    band_name: str | None
    verdict: RequestVerdict
    decided_by: str
    in_place_of: str | None = Described(description="Whom they stood in for.")
    waited_since: UtcDatetime
    decided_at: UtcDatetime
    seconds: int
    reason: str | None


class DecisionDelay(Readable):
    """How long requests wait in one layer of approval."""

    layer: int
    band_name: str | None
    decisions: int
    rejected: int
    mean_seconds: int
    median_seconds: int
    p90_seconds: int


class DecisionDelays(Readable):
    """What each layer of approval costs, the first one first."""

    layers: list[DecisionDelay]


class LineFit(Readable):
    """Whether a line has what is asked of it, in its currency."""

    IDENTITY: ClassVar[str] = "line_id"
    line_id: UUID
    fits: bool
    available: Money
    asked: Money
    missing: Money
    stops: bool = Described(description="Whether it refuses what doesn't fit.")


class Alternative(Readable):
    """A line that has what is asked for."""

    IDENTITY: ClassVar[str] = "line_id"
    line_id: UUID
    name: str
    period: Interval
    available: Money


class Fit(Readable):
    """What would come of a request, and what else there is."""

    IDENTITY: ClassVar[str] = "fits"
    fits: bool
    lines: list[LineFit]
    other_lines: list[Alternative] = Described(description="With room for all of it, in the same department first.")
    later: list[Alternative] = Described(description="Of the same department in a later period.")
    smaller: Money | None = Described(description="As much as the line has; null if that is nothing.")


class RequestSubmitted(Event):
    """Somebody asks for money, and waits for a decision."""

    type: ClassVar[str] = "budget.request.submitted"
    request_id: UUID
    line_id: UUID
    campaign_id: UUID | None
    amount: Money


class RequestOrdered(Event):
    """What was reserved for it is committed, under a purchase order number."""

    type: ClassVar[str] = "budget.request.ordered"
    request_id: UUID
    campaign_id: UUID | None
    po_number: str


class RequestDecided(Event):
    """The last layer, or the first that said no: `seconds` since it was submitted."""

    type: ClassVar[str] = "budget.request.decided"
    request_id: UUID
    campaign_id: UUID | None
    verdict: RequestVerdict
    layers: int
    seconds: int


class RequestEnded(Event):
    """Closed, expired or voided."""

    type: ClassVar[str] = "budget.request.ended"
    request_id: UUID
    campaign_id: UUID | None
    state: RequestState
