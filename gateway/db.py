"""Decides where the gateway keeps its rows."""

from sqlalchemy.orm import registry

from chassis.db import Row, metadata_of

SCHEMA = "gateway"
METADATA = metadata_of(SCHEMA)


class Table(Row, registry=registry(metadata=METADATA)):
    """Base of the gateway's tables."""
