"""The chassis's tables: workspace, outbox, delivery, inbox, idempotency, job."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from chassis.migrate import INSTANT, key_columns, tenant_table, worker_may

revision = "chassis_0001"
down_revision = None
branch_labels = ("chassis",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "workspace",
        sa.Column("workspace_id", sa.Uuid, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("zone", sa.Text, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
    )
    op.create_table(
        "outbox",
        *key_columns(),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("data", JSONB, nullable=False),
        sa.Column("occurred_at", INSTANT, nullable=False),
    )
    op.create_table(
        "delivery",
        sa.Column("workspace_id", sa.Uuid, primary_key=True),
        sa.Column("outbox_id", sa.Uuid, primary_key=True),
        sa.Column("subscriber", sa.Text, primary_key=True),
        sa.Column("position", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("due_at", INSTANT, nullable=False),
        sa.Column("last_error", sa.Text, nullable=False),
    )
    op.create_index("delivery_subscriber_position_idx", "delivery", ["subscriber", "position"])
    op.create_index("delivery_subscriber_subject_position_idx", "delivery", ["subscriber", "subject", "position"])
    op.create_table(
        "inbox",
        sa.Column("workspace_id", sa.Uuid, primary_key=True),
        sa.Column("source", sa.Text, primary_key=True),
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("received_at", INSTANT, nullable=False),
    )
    op.create_index("outbox_occurred_at_idx", "outbox", ["occurred_at"])
    op.create_index("inbox_received_at_idx", "inbox", ["received_at"])
    op.create_table(
        "idempotency",
        sa.Column("workspace_id", sa.Uuid, primary_key=True),
        sa.Column("subject", sa.Text, primary_key=True),
        sa.Column("operation", sa.Text, primary_key=True),
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("fingerprint", sa.LargeBinary, nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("answer", sa.LargeBinary),
        sa.Column("created_at", INSTANT, nullable=False),
    )
    op.create_index("idempotency_created_at_idx", "idempotency", ["created_at"])
    # Holds names and times alone, no workspace's rows; the worker role plans and marks turns in it.
    op.create_table(
        "job",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("due_at", INSTANT, nullable=False),
        sa.Column("started_at", INSTANT),
        sa.Column("finished_at", INSTANT),
        sa.Column("last_error", sa.Text),
    )
    for table in ("workspace", "outbox", "delivery", "inbox", "idempotency"):
        tenant_table(table)
    worker_may("workspace", "SELECT")
    worker_may("outbox", "SELECT, DELETE")
    worker_may("inbox", "SELECT (received_at), DELETE")
    worker_may("idempotency", "SELECT (created_at), DELETE")
    worker_may("delivery", "SELECT, UPDATE, DELETE")
    op.execute("ALTER TABLE job ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE job FORCE ROW LEVEL SECURITY")
    worker_may("job", "SELECT, INSERT, UPDATE")


def downgrade() -> None:
    for table in ("job", "idempotency", "inbox", "delivery", "outbox", "workspace"):
        op.drop_table(table)
