"""Decides what an override of a failing letter is made of."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from pydantic import Field as Described
from sqlalchemy import ForeignKeyConstraint, Index
from sqlmodel import Field

from chassis.db import enum_column, instant_column
from chassis.fields import Input, Readable, UtcDatetime
from services.goals.db import Table
from services.goals.goal.models import Reason


class Overridable(StrEnum):
    """What judgement may set aside. What isn't specific, measured or bound in time is no goal."""

    A = "A"
    R = "R"


class Override(Table, table=True):
    """Never changed or deleted: it holds for what the draft asked for then, and lapses when that changes."""

    __table_args__ = (
        ForeignKeyConstraint(["workspace_id", "goal_id"], ["goals.goal.workspace_id", "goals.goal.id"]),
        Index(None, "workspace_id", "goal_id", "id"),
    )

    goal_id: UUID
    letter: Overridable = Field(sa_column=enum_column(Overridable, "letter"))
    reason: str
    overridden_by: str
    overridden_at: datetime = Field(sa_column=instant_column("overridden_at"))


class OverrideCreate(Input):
    letter: Overridable = Field(description="Achievable or realistic.")
    reason: Reason = Field(
        description="Why it may fail; kept and shown.", schema_extra={"examples": ["We open a second shop in May."]}
    )


class OverrideRead(Readable):
    """A manager's word that a draft may be activated though a letter fails. It lapses when the draft changes."""

    id: UUID
    goal_id: UUID
    letter: Overridable
    reason: str
    overridden_by: str = Described(description="Whose token it was.")
    overridden_at: UtcDatetime
