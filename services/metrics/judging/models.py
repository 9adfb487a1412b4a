"""Decides what waits to be judged beside other events."""

from sqlalchemy import ARRAY, Column, DateTime, Table, Uuid

from services.metrics.db import METADATA

# Ids of events that commit beside them until they are looked at together with what stands around them: clicks, and all
# that decides whom may be written to. Only ever added to by those who store.
unjudged = Table(
    "unjudged", METADATA,
    Column("workspace_id", Uuid, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("events", ARRAY(Uuid), nullable=False),
    Column("noted_at", DateTime(timezone=True), nullable=False),
)  # fmt: skip
