"""Decides which tables stay for the version before, which writes them until it serves nowhere. Then they go."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Index,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
)

from services.metrics.db import METADATA

_INSTANT = DateTime(timezone=True)
Table(
    "event", METADATA,
    Column("workspace_id", Uuid, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("source_id", Uuid, nullable=False),
    Column("key", LargeBinary, nullable=False),
    Column("type", String(40), nullable=False),
    Column("recipient_id", Uuid),
    Column("message_id", String),
    Column("url", String),
    Column("tag_set_id", Uuid),
    Column("campaign_id", Uuid),
    Column("occurred_at", _INSTANT, nullable=False),
    Column("received_at", _INSTANT, nullable=False),
    Column("verdict", String(40), nullable=False),
    Column("reasons", ARRAY(Text), nullable=False),
    CheckConstraint("type <> ''", name="type"),
    CheckConstraint("verdict <> ''", name="verdict"),
    UniqueConstraint("workspace_id", "source_id", "key"),
    *(
        Index(None, "workspace_id", *columns)
        for columns in (
            ("campaign_id", "id"), ("campaign_id", "occurred_at"), ("source_id", "id"), ("source_id", "occurred_at"),
            ("occurred_at",), ("tag_set_id",),
        )
    ),
)  # fmt: skip
Table(
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
Table(
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
