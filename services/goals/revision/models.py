"""Decides what a revision of an active goal is made of."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import Field as Described
from sqlalchemy import Column, ForeignKeyConstraint, Index
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field

from chassis.audit import UNAUDITED
from chassis.db import instant_column
from chassis.fields import Input, Readable, UtcDatetime
from services.goals.db import Table
from services.goals.goal.models import Reason, Target, Window


class Revision(Table, table=True):
    """Never changed or deleted: a record of its own."""

    __table_args__ = (
        ForeignKeyConstraint(["workspace_id", "goal_id"], ["goals.goal.workspace_id", "goals.goal.id"]),
        Index(None, "workspace_id", "goal_id", "id"),
        {"info": UNAUDITED},
    )

    goal_id: UUID
    reason: str
    revised_by: str
    revised_at: datetime = Field(sa_column=instant_column("revised_at"))
    before: dict[str, Any] = Field(sa_column=Column("before", JSONB, nullable=False))
    after: dict[str, Any] = Field(sa_column=Column("after", JSONB, nullable=False))


class GoalRevise(Input):
    """What an active goal is to ask for from now on; what isn't sent stays."""

    reason: Reason = Field(
        description="Why; kept with what was asked for before.",
        schema_extra={"examples": ["The market halved after the recall."]},
    )
    target: Target | None = Field(None, description="A change of the baseline that is pinned, or a value.")
    window: Window | None = Field(None, description="Its start can't be moved once it has begun.")


class GoalTerms(Readable):
    """What a goal asks for."""

    target: Target
    target_value: float | None
    window: Window
    metric_version: int | None
    baseline_value: float | None


class RevisionRead(Readable):
    """That an active goal asks for something else: from what to what, by whom, when and why."""

    id: UUID
    goal_id: UUID
    reason: str
    revised_by: str = Described(description="Whose token it was.")
    revised_at: UtcDatetime
    before: GoalTerms
    after: GoalTerms
