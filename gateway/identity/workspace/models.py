"""Decides what a workspace is made of."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Column, Text
from sqlalchemy.orm import synonym
from sqlmodel import Field

from chassis.db import enum_column, instant_column
from chassis.editing import Editable, Patch
from chassis.fields import Currency, Input, Name, Readable, UtcDatetime, Zone
from gateway.db import Tenants
from gateway.identity.workspace.rules import WorkspaceState


class Workspace(Tenants, Editable, table=True):
    """A tenant: what every part keeps of it, and what only the gateway does."""

    __tablename__ = "workspace"
    # The chassis has declared what every part keeps.
    __table_args__ = {"extend_existing": True}

    workspace_id: UUID = Field(primary_key=True)
    name: str = Field(sa_column=Column("name", Text, nullable=False))
    zone: str = Field(sa_column=Column("zone", Text, nullable=False))
    currency: str = Field(sa_column=Column("currency", Text, nullable=False))
    state: WorkspaceState = Field(
        WorkspaceState.ACTIVE, sa_column=enum_column(WorkspaceState, "state", server_default="active")
    )
    created_at: datetime | None = Field(None, sa_column=instant_column("created_at", nullable=True))


Workspace.id = synonym("workspace_id")  # what lists page by


class WorkspaceCreate(Input):
    name: Name
    zone: Zone = Field(description="Whose days and months its numbers are in.")
    currency: Currency = Field(description="What its totals are in.")


class WorkspaceOpen(WorkspaceCreate):
    id: UUID | None = Field(None, description="A UUID of your own, so that sending this again can't make two.")


class WorkspacePatch(Patch, of=WorkspaceCreate):
    """What may change of a workspace."""


class WorkspaceRead(Readable):
    """A tenant of the installation: everything in MOps belongs to one."""

    id: UUID
    version: int
    name: str
    zone: str
    currency: str
    state: WorkspaceState
    created_at: UtcDatetime | None


def row_of(create: WorkspaceCreate, **more: Any) -> Workspace:
    return Workspace(name=create.name, zone=create.zone, currency=create.currency, **more)
