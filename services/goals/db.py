"""Decides where goals keeps its rows."""

from uuid import UUID

from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

from chassis.db import Row, metadata_of

SCHEMA = "goals"
METADATA = metadata_of(SCHEMA)
REGISTRY = registry(metadata=METADATA)


class Table(Row, registry=REGISTRY):
    """Base of tables whose rows have an id."""


class Link(SQLModel, registry=REGISTRY):
    """Base of tables that join two others."""

    workspace_id: UUID = Field(primary_key=True)
