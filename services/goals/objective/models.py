"""Decides what an objective is made of."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index
from sqlmodel import Field

from chassis.db import enum_column, instant_column
from chassis.fields import Input, Name, Readable, UtcDatetime, Words
from services.goals.db import Table
from services.goals.objective.rules import Stakeholder


class Objective(Table, table=True):
    """What the business wants, and who of it asks."""

    __table_args__ = tuple(Index(None, "workspace_id", each, "id") for each in ("name", "stakeholder", "created_at"))

    name: str
    stakeholder: Stakeholder = Field(sa_column=enum_column(Stakeholder, "stakeholder"))
    needs: str
    created_at: datetime = Field(sa_column=instant_column("created_at"))


class ObjectiveCreate(Input):
    name: Name = Field(schema_extra={"examples": ["Grow revenue from existing customers"]})
    stakeholder: Stakeholder = Field(description="Who wants it.")
    needs: Words = Field("", description="What they need to see, in words.")


class ObjectiveRead(Readable):
    """A business objective: every goal serves one."""

    id: UUID
    name: str
    stakeholder: Stakeholder
    needs: str
    created_at: UtcDatetime
