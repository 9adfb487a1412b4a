"""Decides what a workspace can settle about spending, and what holds where it has settled nothing."""

from decimal import Decimal
from enum import StrEnum
from typing import ClassVar
from uuid import UUID

from pydantic import Field as Described
from sqlalchemy import Column, ForeignKeyConstraint, Numeric, UniqueConstraint
from sqlmodel import Field

from chassis.db import enum_column
from chassis.editing import Editable, Patch
from chassis.fields import DecimalText, Input, Readable, Version
from services.budget.db import Table


class Matching(StrEnum):
    """What an invoice of an order is held against: the order, or what was received of it too."""

    TWO_WAY = "two_way"
    THREE_WAY = "three_way"


class SpendingPolicy(Table, Editable, table=True):
    """One row for each workspace that has changed something."""

    __tablename__ = "policy"
    __table_args__ = (
        UniqueConstraint("workspace_id"),
        ForeignKeyConstraint(["workspace_id", "reserve_line_id"], ["line.workspace_id", "line.id"]),
    )

    tolerance_percent: Decimal = Field(sa_column=Column("tolerance_percent", Numeric, nullable=False))
    reservation_days: int
    matching: Matching = Field(sa_column=enum_column(Matching, "matching"))
    reserve_line_id: UUID | None


class PolicyCreate(Input):
    """What holds unless it is changed."""

    tolerance_percent: DecimalText = Field(
        Decimal(5), ge=0, le=100, description="How much more than its order an invoice may be, all of them together."
    )
    reservation_days: int = Field(30, ge=1, le=3650, description="A reservation that nobody commits expires after it.")
    matching: Matching = Matching.TWO_WAY
    reserve_line_id: UUID | None = Field(
        None, description="The line that pays for what exchange rates take, where an order's own line can't."
    )


class PolicyPatch(Patch, of=PolicyCreate):
    """What is to change."""


class PolicyRead(Readable):
    """What a workspace has settled about spending."""

    IDENTITY: ClassVar[str] = "version"
    tolerance_percent: DecimalText
    reservation_days: int
    matching: Matching
    reserve_line_id: UUID | None = Described()
    version: Version
