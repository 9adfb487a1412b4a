"""Decides which tables every schema has beside its own: workspace, outbox and so on, and the queue of jobs."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine


def declare(metadata: MetaData) -> None:
    """Adds the chassis's tables to a schema's metadata, so that drift between them and the database is seen."""
    instant = DateTime(timezone=True)
    Table(
        "workspace", metadata,
        Column("workspace_id", Uuid, primary_key=True),
        Column("name", Text, nullable=False),
        Column("zone", Text, nullable=False),
        Column("currency", Text, nullable=False),
    )  # fmt: skip
    Table(
        "outbox", metadata,
        Column("workspace_id", Uuid, primary_key=True),
        Column("id", Uuid, primary_key=True),
        Column("type", Text, nullable=False),
        Column("subject", Text, nullable=False),
        Column("data", JSONB, nullable=False),
        Column("occurred_at", instant, nullable=False),
        Column("trace", Text),
        Index(None, "occurred_at"),
    )  # fmt: skip
    Table(
        "delivery", metadata,
        Column("workspace_id", Uuid, primary_key=True),
        Column("outbox_id", Uuid, primary_key=True),
        Column("subscriber", Text, primary_key=True),
        Column("position", BigInteger, Identity(always=True), nullable=False),
        Column("subject", Text, nullable=False),
        Column("attempts", Integer, nullable=False),
        Column("due_at", instant, nullable=False),
        Column("last_error", Text, nullable=False),
        Index(None, "subscriber", "position"),
        Index(None, "subscriber", "subject", "position"),
    )  # fmt: skip
    Table(
        "inbox", metadata,
        Column("workspace_id", Uuid, primary_key=True),
        Column("source", Text, primary_key=True),
        Column("id", Uuid, primary_key=True),
        Column("received_at", instant, nullable=False),
        Index(None, "received_at"),
    )  # fmt: skip
    Table(
        "idempotency", metadata,
        Column("workspace_id", Uuid, primary_key=True),
        Column("subject", Text, primary_key=True),
        Column("operation", Text, primary_key=True),
        Column("key", Text, primary_key=True),
        Column("fingerprint", LargeBinary, nullable=False),
        Column("status", Integer),
        Column("answer", LargeBinary),
        Column("created_at", instant, nullable=False),
        Index(None, "created_at"),
    )  # fmt: skip
    Table(
        "audit", metadata,
        Column("workspace_id", Uuid, primary_key=True),
        Column("id", Uuid, primary_key=True),
        Column("at", instant, nullable=False),
        Column("actor", Text, nullable=False),
        Column("operation", Text, nullable=False),
        Column("request_id", Text, nullable=False),
        Column("action", Text, nullable=False),
        Column("kind", Text, nullable=False),
        Column("row_id", Uuid),
        Column("changes", JSONB, nullable=False),
        CheckConstraint("action IN ('created','changed','deleted')", name="action"),
        *(Index(None, "workspace_id", each, "id") for each in ("at", "actor", "operation", "kind", "row_id")),
    )  # fmt: skip
    work(metadata)


def work(metadata: MetaData, state: TypeEngine[Any] = Text()) -> Table:
    """The queue of periodic and deferred jobs. It holds ids alone, and is one table for both, so that one list and one
    look show them."""
    instant = DateTime(timezone=True)
    return Table(
        "work", metadata,
        Column("id", Uuid, primary_key=True),
        Column("name", Text, nullable=False),
        Column("workspace_id", Uuid),
        Column("subject", Uuid),
        Column("state", state, nullable=False),
        Column("attempts", Integer, nullable=False),
        Column("created_at", instant, nullable=False),
        Column("changed_at", instant, nullable=False),
        Column("due_at", instant),
        Column("started_at", instant),
        Column("finished_at", instant),
        Column("succeeded_at", instant),
        Column("last_error", Text),
        Column("trace", Text),
        CheckConstraint("state IN ('waiting','running','done','failed')", name="state"),
        Index("work_periodic_key", "name", unique=True, postgresql_where=text("workspace_id IS NULL")),
        Index("work_due_idx", "due_at", postgresql_where=text("due_at IS NOT NULL")),
        Index("work_kept_idx", "finished_at", postgresql_where=text("due_at IS NULL")),
        Index("work_undone_idx", "state", "name", postgresql_where=text("state <> 'done'")),
        *(Index(None, "workspace_id", each, "id") for each in ("name", "state", "created_at", "changed_at")),
    )  # fmt: skip
