"""Decides what numbers are read from: counts per day, and the set of who was shown which message.

Both follow from the events and can be rebuilt from them, so they hold no foreign keys of their own: the events do.
"""

from uuid import UUID

from pydantic import BaseModel, Field
from sqlalchemy import BigInteger, Column, Date, Index, String, Table, Uuid

from services.metrics.db import METADATA

# One row counts the events of a source, a campaign (or none), a local day, a type and a verdict.
tally = Table(
    "tally", METADATA,
    Column("workspace_id", Uuid, nullable=False),
    Column("source_id", Uuid, nullable=False),
    Column("campaign_id", Uuid),
    Column("day", Date, nullable=False),
    Column("type", String(40), nullable=False),
    Column("verdict", String(40), nullable=False),
    Column("count", BigInteger, nullable=False),
    Index("tally_cell_idx", "workspace_id", "campaign_id", "day", "source_id", "type", "verdict",
          unique=True, postgresql_nulls_not_distinct=True),
)  # fmt: skip

# One row says that a recipient opened a message, or clicked in it: exact sets, so that a union of days or campaigns
# counts each pair once. `message` is half of the SHA-256 of the platform's message id, which may be long.
impression = Table(
    "impression", METADATA,
    Column("workspace_id", Uuid, nullable=False),
    Column("source_id", Uuid, nullable=False),
    Column("campaign_id", Uuid),
    Column("day", Date, nullable=False),
    Column("verdict", String(40), nullable=False),
    Column("recipient_id", Uuid, nullable=False),
    Column("message", Uuid, nullable=False),
    Column("type", String(40), nullable=False, server_default="opened"),
    Index("impression_cell_idx", "workspace_id", "campaign_id", "day", "type", "source_id", "verdict", "recipient_id",
          "message", unique=True, postgresql_nulls_not_distinct=True),
)  # fmt: skip


class Rebuild(BaseModel):
    """That numbers will be made again; `GET /v1/jobs?id=` shows how far that is."""

    job_id: UUID = Field(description="The job that does it.")
