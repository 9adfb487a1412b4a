"""Decides what a contract is made of: its row, what callers send and get, and what is told of it elsewhere."""

from datetime import date, datetime
from typing import Annotated, Any, ClassVar
from uuid import UUID

from pydantic import Field as Described
from sqlalchemy import BigInteger, CheckConstraint, ForeignKeyConstraint, Index, text
from sqlmodel import Field

from chassis.db import enum_column, instant_column
from chassis.editing import Editable, Patch
from chassis.fields import Input, Interval, Money, Name, Readable, Slug, UtcDatetime, Version
from chassis.outbox import Event
from services.budget.contract.rules import ContractState, NoticeUnit, Terms, day_of_month
from services.budget.db import Table
from services.budget.renewal.rules import DecisionKind

FILTERED = (
    "name", "category", "department", "state", "notice_deadline", "term_end", "created_at", "vendor_id", "line_id",
    "campaign_id",
)  # fmt: skip
Seats = Annotated[int, Described(ge=1, le=10_000_000)]


class NoticePeriod(Input):
    """How long before a term's end notice must be given."""

    count: Annotated[int, Described(ge=0, le=3650)] = Field(schema_extra={"examples": [3]})
    unit: NoticeUnit = Field(description="Calendar months; a shorter month's last day stands for the days it lacks.")


class Contract(Table, Editable, table=True):
    """`term` is kept as its two days; half-open. What follows from the terms (`window_opens`, `notice_deadline`,
    `due_on`) is kept beside them, so that lists sort by it and the clock finds what is due."""

    __table_args__ = (
        ForeignKeyConstraint(["workspace_id", "vendor_id"], ["vendor.workspace_id", "vendor.id"]),
        ForeignKeyConstraint(["workspace_id", "line_id"], ["line.workspace_id", "line.id"]),
        ForeignKeyConstraint(["workspace_id", "held_line_id"], ["line.workspace_id", "line.id"]),
        CheckConstraint("term_end > term_start", name="term"),
        CheckConstraint("(held_line_id IS NULL) = (held_minor = 0)", name="held"),
        Index("contract_due_on_idx", "due_on", postgresql_where=text("due_on IS NOT NULL")),
        *(Index(None, "workspace_id", each, "id") for each in FILTERED),
    )

    vendor_id: UUID
    name: str
    category: str
    department: str
    line_id: UUID | None
    # Another service's key, and no more: whether there is such a campaign isn't asked.
    campaign_id: UUID | None
    currency: str
    cost_minor: int = Field(sa_type=BigInteger)
    renewal_minor: int | None = Field(None, sa_type=BigInteger)
    seat_count: int | None
    term_start: date
    term_end: date
    turns_on: int
    auto_renews: bool
    renewal_months: int
    notice_count: int
    notice_unit: NoticeUnit = Field(sa_column=enum_column(NoticeUnit, "notice_unit"))
    lead_days: int
    window_opens: date
    notice_deadline: date
    state: ContractState = Field(sa_column=enum_column(ContractState, "state"))
    # The next day that changes something by itself, or on which to try again.
    due_on: date | None
    missed_at: datetime | None = Field(None, sa_column=instant_column("missed_at", nullable=True))
    decision: DecisionKind | None = Field(None, sa_column=enum_column(DecisionKind, "decision", nullable=True))
    by_default: bool = False
    decision_reason: str | None = None
    decided_by: str | None = None
    decided_at: datetime | None = Field(None, sa_column=instant_column("decided_at", nullable=True))
    next_minor: int | None = Field(None, sa_type=BigInteger)
    next_seat_count: int | None = None
    # What is reserved for a renewal, and on which line; or what that line lacks to hold it.
    held_line_id: UUID | None = None
    held_minor: int = Field(0, sa_type=BigInteger)
    short_minor: int | None = Field(None, sa_type=BigInteger)
    created_at: datetime = Field(sa_column=instant_column("created_at"))

    @property
    def terms(self) -> Terms:
        return Terms(
            self.term_start, self.term_end, self.turns_on, self.auto_renews, self.renewal_months, self.notice_count,
            self.notice_unit, self.lead_days,
        )  # fmt: skip

    @property
    def term(self) -> Interval:
        return Interval.of(self.term_start, self.term_end)

    @property
    def next_term(self) -> Interval | None:
        return Interval.of(self.term_end, self.terms.next_end) if self.state is ContractState.RENEWED else None

    @property
    def notice(self) -> NoticePeriod:
        return NoticePeriod.model_construct(count=self.notice_count, unit=self.notice_unit)

    @property
    def cost(self) -> Money:
        return Money.of_minor(self.cost_minor, self.currency)

    @property
    def renewal_cost(self) -> Money | None:
        return None if self.renewal_minor is None else Money.of_minor(self.renewal_minor, self.currency)

    @property
    def renewing_minor(self) -> int:
        """What the next term costs as things are now."""
        return next(each for each in (self.next_minor, self.renewal_minor, self.cost_minor) if each is not None)

    @property
    def next_cost(self) -> Money | None:
        return Money.of_minor(self.renewing_minor, self.currency) if self.state is ContractState.RENEWED else None

    @property
    def reserved(self) -> Money:
        return Money.of_minor(self.held_minor, self.currency)

    @property
    def short(self) -> Money | None:
        return None if self.short_minor is None else Money.of_minor(self.short_minor, self.currency)


class ContractCreate(Input):
    """A contract as it runs now."""

    vendor_id: UUID
    name: Name = Field(description="The tool.", schema_extra={"examples": ["Acme Mail"]})
    category: Slug = Field(
        description="What it is for. Tools of one category from several vendors overlap.",
        schema_extra={"examples": ["email-delivery"]},
    )
    department: Name = Field(schema_extra={"examples": ["operations"]})
    line_id: UUID | None = Field(None, description="The line that pays for it, in the cost's currency.")
    campaign_id: UUID | None = Field(None, description="The campaign that it is for, if it is for one alone.")
    cost: Money = Field(description="Of the whole term.")
    renewal_cost: Money | None = Field(None, description="Of the term after this one; null: the same.")
    seat_count: Seats | None = Field(
        None, description="How many people may use it; null: it isn't sold by seats.", schema_extra={"examples": [25]}
    )
    term: Interval
    auto_renews: bool = Field(description="Whether it goes on when nobody gives notice; otherwise it lapses.")
    renewal_months: Annotated[int, Described(ge=1, le=120)] = Field(
        12, description="How long a renewal runs.", schema_extra={"examples": [12]}
    )
    notice: NoticePeriod
    lead_days: Annotated[int, Described(ge=0, le=365)] = Field(
        30, description="How long deciding takes: the notice window opens so long before the deadline.",
        schema_extra={"examples": [30]},
    )  # fmt: skip

    def columns(self) -> dict[str, Any]:
        """As the row has it."""
        kept = self.model_dump(exclude={"cost", "renewal_cost", "term", "notice"})
        terms = Terms(
            self.term.start, self.term.end, day_of_month(self.term.start, self.term.end), self.auto_renews,
            self.renewal_months, self.notice.count, self.notice.unit, self.lead_days,
        )  # fmt: skip
        return kept | {
            "currency": self.cost.currency, "cost_minor": self.cost.minor,
            "renewal_minor": self.renewal_cost.minor if self.renewal_cost else None,
            "term_start": terms.start, "term_end": terms.end, "turns_on": terms.turns_on,
            "notice_count": terms.notice_count, "notice_unit": terms.notice_unit,
            "window_opens": terms.opens, "notice_deadline": terms.deadline,
        }  # fmt: skip


class ContractPatch(Patch, of=ContractCreate, without={"vendor_id"}):
    """What may change of a contract. Its terms may until its renewal is decided."""


class ContractRead(Readable):
    """What the team pays a vendor for, and by when it has to decide whether to go on."""

    id: UUID
    vendor_id: UUID
    name: str
    category: str
    department: str
    line_id: UUID | None
    campaign_id: UUID | None
    cost: Money
    renewal_cost: Money | None
    seat_count: int | None
    term: Interval
    auto_renews: bool
    renewal_months: int
    notice: NoticePeriod
    lead_days: int
    window_opens: date = Described(description="The day from which on somebody has to be deciding.")
    notice_deadline: date = Described(description="The first day on which notice comes too late.")
    state: ContractState = Described(description="Dates move it by themselves, within a minute of their midnight.")
    missed_at: UtcDatetime | None = Described(description="When this term's deadline passed undecided.")
    decision: DecisionKind | None = Described(description="Of this term's renewal.")
    by_default: bool = Described(description="Whether it renewed because nobody decided; anybody who may can confirm.")
    decision_reason: str | None
    decided_by: str | None
    decided_at: UtcDatetime | None
    next_term: Interval | None = Described(description="Null unless it is renewed.")
    next_cost: Money | None = Described(description="Null unless it is renewed.")
    next_seat_count: int | None = Described(description="How many seats the next term has, where that changes.")
    reserved: Money = Described(description="Held on the line while nobody has decided about the renewal.")
    short: Money | None = Described(
        description="What a `stop` line lacks to hold it: nothing is reserved then, and it is tried again each day."
    )
    version: Version
    created_at: UtcDatetime


class Overlap(Readable):
    """Tools for the same purpose from several vendors."""

    IDENTITY: ClassVar[str] = "category"
    category: str
    vendor_ids: list[UUID]
    contract_ids: list[UUID] = Described(description="Those that go on, the oldest first; at most 200.")
    departments: list[str]


class ContractNoticeWindowOpened(Event):
    """Somebody has to be deciding about a renewal from now on."""

    type: ClassVar[str] = "budget.contract.notice_window_opened"
    contract_id: UUID
    notice_deadline: date
    term_end: date


class ContractNoticeDeadlineMissed(Event):
    """Nobody has decided in time. `renews`: so it goes on by itself, and nobody can stop that any more."""

    type: ClassVar[str] = "budget.contract.notice_deadline_missed"
    contract_id: UUID
    notice_deadline: date
    renews: bool


class ContractRenewed(Event):
    """There will be a next term, by somebody's word or by default."""

    type: ClassVar[str] = "budget.contract.renewed"
    contract_id: UUID
    by_default: bool
    next_term: Interval
    next_cost: Money


class ContractTerminated(Event):
    """It ends with its term."""

    type: ClassVar[str] = "budget.contract.terminated"
    contract_id: UUID
    ends_on: date
    reason: str


class ContractLapsed(Event):
    """It has ended, as nobody renewed it."""

    type: ClassVar[str] = "budget.contract.lapsed"
    contract_id: UUID
    ended_on: date
