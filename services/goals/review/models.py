"""Decides what a review of a closed goal is made of."""

from datetime import datetime
from uuid import UUID

from pydantic import Field as Described
from sqlalchemy import ForeignKeyConstraint, Index
from sqlmodel import Field

from chassis.audit import UNAUDITED
from chassis.db import instant_column
from chassis.fields import Input, Readable, UtcDatetime, Words
from services.goals.db import Table
from services.goals.goal.models import Reason


class Review(Table, table=True):
    """Never changed or deleted: a review is corrected by another one, and the newest counts."""

    __table_args__ = (
        ForeignKeyConstraint(["workspace_id", "goal_id"], ["goals.goal.workspace_id", "goals.goal.id"]),
        Index(None, "workspace_id", "goal_id", "id"),
        {"info": UNAUDITED},
    )

    goal_id: UUID
    learned: str
    changes: str
    author: str
    reviewed_at: datetime = Field(sa_column=instant_column("reviewed_at"))


class ReviewCreate(Input):
    learned: Reason = Field(
        description="What was learned.", schema_extra={"examples": ["Mails on Tuesday bring half of all clicks."]}
    )
    changes: Words = Field(
        "", description="What changes because of it.", schema_extra={"examples": ["Send on Tuesdays only."]}
    )


class ReviewRead(Readable):
    """What was learned from a closed goal, and what changes."""

    id: UUID
    goal_id: UUID
    learned: str
    changes: str
    author: str = Described(description="Whose token it was.")
    reviewed_at: UtcDatetime
