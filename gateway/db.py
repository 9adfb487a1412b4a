"""Decides where the gateway keeps its rows."""

from sqlalchemy.orm import registry
from sqlmodel import SQLModel

from chassis.db import Row, metadata_of

SCHEMA = "gateway"
METADATA = metadata_of(SCHEMA)
_REGISTRY = registry(metadata=METADATA)


class Table(Row, registry=_REGISTRY):
    """Base of the gateway's tables."""


class Tenants(SQLModel, registry=_REGISTRY):
    """Base of the one table whose rows are workspaces instead of belonging to one."""
