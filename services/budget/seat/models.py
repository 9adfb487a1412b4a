"""Decides what a seat is made of: its row, what callers send and get, and how waste is shown."""

from datetime import date
from typing import Annotated, Any, ClassVar
from uuid import UUID

from pydantic import Field as Described
from sqlalchemy import ForeignKeyConstraint, Index, text
from sqlmodel import Field

from chassis.editing import Editable, Patch
from chassis.fields import Input, Money, Name, Readable, Version
from services.budget.db import Table
from services.budget.person.models import Address
from services.budget.seat.rules import Waste

# What is left of a body's megabyte for the rest of it.
LONGEST_CSV = 900_000
FILTERED = ("contract_id", "department", "active_on", "assigned_on", "is_released")


class Seat(Table, Editable, table=True):
    """That a person may use a tool. `active_on` is the last day of use, or the day of assignment before there is one:
    since then it is idle."""

    __table_args__ = (
        ForeignKeyConstraint(["workspace_id", "contract_id"], ["contract.workspace_id", "contract.id"]),
        ForeignKeyConstraint(["workspace_id", "person_id"], ["person.workspace_id", "person.id"]),
        Index(
            "seat_workspace_id_contract_id_person_id_key", "workspace_id", "contract_id", "person_id", unique=True,
            postgresql_where=text("NOT is_released"),
        ),
        Index(None, "workspace_id", "person_id"),
        *(Index(None, "workspace_id", each, "id") for each in FILTERED),
    )  # fmt: skip

    contract_id: UUID
    person_id: UUID
    department: str
    assigned_on: date
    last_used_on: date | None = None
    active_on: date
    is_released: bool = False
    released_on: date | None = None


class SeatCreate(Input):
    """A seat for somebody."""

    contract_id: UUID
    address: Address
    department: Name = Field(schema_extra={"examples": ["content"]})


class SeatDetails(Input):
    """What is said of a seat that somebody has."""

    department: Name = Field(schema_extra={"examples": ["brand"]})


class SeatPatch(Patch, of=SeatDetails):
    """What may change of a seat: whose it is doesn't."""


class SeatRead(Readable):
    """That a person may use a tool, and when they last did."""

    id: UUID
    contract_id: UUID
    person_id: UUID = Described(description="One person's, over all tools; tells nothing else.")
    address: str | None = Described(description="Null without the scope `budget:people`, and once it was erased.")
    department: str
    assigned_on: date
    last_used_on: date | None = Described(description="Null: never, as far as was told.")
    active_on: date = Described(description="The last day of use, or else that of assignment.")
    is_released: bool
    released_on: date | None
    version: Version


class SeatUse(Input):
    """That somebody used a tool on a day."""

    address: Address
    day: date = Field(description="In the workspace's zone.", schema_extra={"examples": ["2026-06-01"]})


class SeatUses(Input):
    """Who used a tool, and when. Said again, it changes nothing."""

    contract_id: UUID
    uses: Annotated[list[SeatUse], Described(min_length=1, max_length=5000)]


class SeatUseImport(Input):
    """The same as CSV with a header, as a tool's administration exports it."""

    contract_id: UUID
    content: Annotated[str, Described(min_length=1, max_length=LONGEST_CSV)] = Field(
        description="Separated by commas, semicolons or tabs. Days as 2026-03-01, or instants with their offset.",
        schema_extra={"examples": ["address,day\nann@example.com,2026-06-01\n"]},
    )
    address_column: Annotated[str, Described(min_length=1, max_length=200)] = Field(
        "address", description="Which column holds addresses.", schema_extra={"examples": ["address"]}
    )
    day_column: Annotated[str, Described(min_length=1, max_length=200)] = Field(
        "day", description="Which column holds days.", schema_extra={"examples": ["day"]}
    )


class BadUse(Readable):
    """A row that couldn't be read."""

    row: int = Described(description="From 1 below the header.")
    field: str
    code: str
    message: str


class SeatUsesTold(Readable):
    """What came of telling who used a tool."""

    IDENTITY: ClassVar[str] = "contract_id"
    contract_id: UUID
    told: int = Described(description="Uses that could be read.")
    moved: int = Described(description="Seats whose last day of use is later now.")
    unknown: list[int] = Described(
        description="Rows, from 1, of people who have no seat: given up lately, or never given. The first 1,000."
    )
    bad: list[BadUse] = Described(description="Rows that couldn't be read; they cost no other. The first 1,000.")


class WasteOfDepartment(Readable):
    """A department's part of what is wasted of a contract."""

    department: str
    assigned: int
    idle: int
    wasted_monthly: Money = Described(
        description="Its idle seats; seats that nobody has count for the contract's own department."
    )


class SeatWaste(Readable):
    """What of a contract is paid for and not used."""

    IDENTITY: ClassVar[str] = "contract_id"
    contract_id: UUID
    as_of: date = Described(description="Today in the workspace's zone.")
    idle_days: int = Described(description="Without use for so many days a seat is idle.")
    bought: int | None = Described(description="Null where the contract doesn't say.")
    assigned: int
    used: int = Described(description="Assigned and not idle.")
    idle: int
    unassigned: int = Described(description="Bought, and nobody's.")
    over: int = Described(description="Assigned, and not bought.")
    cost_monthly: Money = Described(
        description="The current month's part of the term's cost; the months' parts sum to it exactly."
    )
    wasted_monthly: Money = Described(description="What idle and unassigned seats cost of it.")
    wasted_term: Money = Described(description="The same of the whole term's cost.")
    departments: list[WasteOfDepartment] = Described(description="Sum to the whole, exactly.")

    @classmethod
    def of_waste(cls, contract_id: UUID, found: Waste, as_of: date, idle_days: int, **only: Any) -> "SeatWaste":
        """What the rules found, as callers get it."""

        def money(minor: int) -> Money:
            return Money.of_minor(minor, found.currency)

        departments = [
            WasteOfDepartment(
                department=each.department, assigned=each.assigned, idle=each.idle, wasted_monthly=money(each.wasted)
            )
            for each in found.departments
        ]
        return cls.of(
            found, contract_id=contract_id, as_of=as_of, idle_days=idle_days, departments=departments,
            cost_monthly=money(found.cost_monthly), wasted_monthly=money(found.wasted_monthly),
            wasted_term=money(found.wasted_term), **only,
        )  # fmt: skip


class DepartmentSeats(Readable):
    """What a department has of all tools that run, and what its idle seats cost in a month."""

    IDENTITY: ClassVar[str] = "department"
    department: str
    assigned: int
    idle: int
    wasted_monthly: list[Money] = Described(description="One for each currency.")
    contract_ids: list[UUID] = Described(description="Of tools with waste; at most 200.")
