"""Decides where budget keeps its rows."""

from sqlalchemy.orm import registry

from chassis.db import Row, metadata_of

SCHEMA = "budget"
METADATA = metadata_of(SCHEMA)


class Table(Row, registry=registry(metadata=METADATA)):
    """Base of this service's tables."""
