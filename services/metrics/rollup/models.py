"""Decides what numbers are read from: counts by day and month, and exact sets of who was shown what, as bitmaps.

All of it follows from the events and can be made anew from them as long as they are kept; of months whose events are
gone it is all there is. So it holds no foreign keys. Where a cell is of no campaign, its campaign is NO_CAMPAIGN.
"""

from uuid import UUID

from pydantic import BaseModel, Field
from sqlalchemy import BigInteger, CheckConstraint, Column, Date, DateTime, Integer, LargeBinary, String, Table, Uuid

from services.metrics.db import METADATA

# What commits beside events until it is counted: so many of a source, a campaign, a local day, a type and a verdict,
# and for each that is in sets 16 bytes of a hash of its pair and the 16 of its recipient's id. It is only ever added to
# by those who store, who so never meet.
uncounted = Table(
    "uncounted", METADATA,
    Column("workspace_id", Uuid, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("source_id", Uuid, nullable=False),
    Column("campaign_id", Uuid, nullable=False),
    Column("day", Date, nullable=False),
    Column("type", String(40), nullable=False),
    Column("verdict", String(40), nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("pairs", LargeBinary),
    Column("received_at", DateTime(timezone=True), nullable=False),
)  # fmt: skip

# How many events of a cell there are, of a day or of a local month.
counted = Table(
    "counted", METADATA,
    Column("workspace_id", Uuid, primary_key=True),
    Column("campaign_id", Uuid, primary_key=True),
    Column("grain", String(10), primary_key=True),
    Column("start", Date, primary_key=True),
    Column("source_id", Uuid, primary_key=True),
    Column("type", String(40), primary_key=True),
    Column("verdict", String(40), primary_key=True),
    Column("count", BigInteger, nullable=False),
    CheckConstraint("grain IN ('day','month')", name="grain"),
)  # fmt: skip

# The pairs, or the recipients, of a cell, of a day or of a local month, by their numbers: a bitmap for each verdict.
# And how many there are by the most that is known of each (rather a person's than nobody knows whose, rather that than
# a bot's), so that a cell by itself is counted without reading it.
reach = Table(
    "reach", METADATA,
    Column("workspace_id", Uuid, primary_key=True),
    Column("campaign_id", Uuid, primary_key=True),
    Column("grain", String(10), primary_key=True),
    Column("start", Date, primary_key=True),
    Column("source_id", Uuid, primary_key=True),
    Column("type", String(40), primary_key=True),
    Column("unit", String(40), primary_key=True),
    Column("human", Integer, nullable=False),
    Column("bot", Integer, nullable=False),
    Column("unknown", Integer, nullable=False),
    Column("humans", LargeBinary),
    Column("bots", LargeBinary),
    Column("unknowns", LargeBinary),
    CheckConstraint("grain IN ('day','month')", name="grain"),
    CheckConstraint("unit IN ('recipient_message','recipient')", name="unit"),
)  # fmt: skip

# Each pair of a recipient and a message, and each recipient, has a number in its workspace, densely from 0: `hash` is
# half of a SHA-256, or the recipient's id.
pair = Table(
    "pair", METADATA,
    Column("workspace_id", Uuid, primary_key=True),
    Column("hash", LargeBinary, primary_key=True),
    Column("number", Integer, nullable=False),
)  # fmt: skip

numbering = Table(
    "numbering", METADATA,
    Column("workspace_id", Uuid, primary_key=True),
    Column("next", Integer, nullable=False),
)  # fmt: skip

# Where the workspace's zone was changed: events before `until` are counted in days before `day`, the first of which
# numbers can be made anew, though some of these are of that day by the zone of now.
seal = Table(
    "seal", METADATA,
    Column("workspace_id", Uuid, primary_key=True),
    Column("day", Date, nullable=False),
    Column("until", DateTime(timezone=True), nullable=False),
)  # fmt: skip


class Rebuild(BaseModel):
    """That numbers will be made again; `GET /v1/jobs?id=` shows how far that is."""

    job_id: UUID = Field(description="The job that does it.")
