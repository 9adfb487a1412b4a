"""Endpoints that are told what happens, and what each was told."""

import sqlalchemy as sa
from alembic import op

from chassis.migrate import INSTANT, key_columns, tenant_table, worker_may

revision = "gateway_0005"
down_revision = "gateway_0004"
branch_labels = None
depends_on = None

WAITS = sa.text("state = 'waiting'")


def upgrade() -> None:
    op.create_table(
        "endpoint",
        *key_columns(),
        sa.Column("version", sa.Integer, nullable=False, server_default="1"),
        sa.Column("url", sa.String, nullable=False),
        sa.Column("description", sa.String, nullable=False),
        sa.Column("types", sa.ARRAY(sa.Text), nullable=False),
        sa.Column("parts", sa.ARRAY(sa.Text), nullable=False),
        sa.Column("state", sa.String(40), nullable=False),
        sa.Column("pause_reason", sa.String(40)),
        sa.Column("failing_since", INSTANT),
        sa.Column("secret", sa.LargeBinary, nullable=False),
        sa.Column("old_secret", sa.LargeBinary),
        sa.Column("old_secret_ends_at", INSTANT),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("created_by", sa.String, nullable=False),
        sa.CheckConstraint("state IN ('active', 'disabled', 'paused')", name="state"),
        sa.CheckConstraint("pause_reason IN ('failing', 'gone')", name="pause_reason"),
    )
    for column in ("state", "created_at"):
        op.create_index(f"endpoint_workspace_id_{column}_id_idx", "endpoint", ["workspace_id", column, "id"])
    tenant_table("endpoint")
    worker_may("endpoint", "SELECT")
    # Not "delivery": so each part calls what its outbox owes other parts.
    op.create_table(
        "webhook_delivery",
        *key_columns(),
        sa.Column("endpoint_id", sa.Uuid, nullable=False),
        sa.Column("happening_id", sa.Uuid, nullable=False),
        sa.Column("type", sa.String, nullable=False),
        sa.Column("subject", sa.String, nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String(40), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("due_at", INSTANT),
        sa.Column("leased_until", INSTANT),
        sa.Column("last_status", sa.Integer),
        sa.Column("last_error", sa.String),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("attempted_at", INSTANT),
        sa.Column("delivered_at", INSTANT),
        sa.ForeignKeyConstraint(
            ["workspace_id", "endpoint_id"], ["endpoint.workspace_id", "endpoint.id"], ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id", "happening_id"], ["happening.workspace_id", "happening.id"], ondelete="CASCADE"
        ),
        sa.CheckConstraint("state IN ('waiting', 'delivered', 'given_up')", name="state"),
    )
    # That nothing is owed twice.
    op.create_index(
        "webhook_delivery_workspace_id_endpoint_id_happening_id_idx", "webhook_delivery",
        ["workspace_id", "endpoint_id", "happening_id"], unique=True,
    )  # fmt: skip
    for column in ("endpoint_id", "happening_id", "state", "type", "created_at"):
        op.create_index(
            f"webhook_delivery_workspace_id_{column}_id_idx", "webhook_delivery", ["workspace_id", column, "id"]
        )
    for column in ("due_at", "subject"):
        op.create_index(
            f"webhook_delivery_workspace_id_endpoint_id_{column}_position_idx", "webhook_delivery",
            ["workspace_id", "endpoint_id", column, "position"], postgresql_where=WAITS,
        )  # fmt: skip
    tenant_table("webhook_delivery")
    worker_may("webhook_delivery", "SELECT, UPDATE")


def downgrade() -> None:
    op.drop_table("webhook_delivery")
    op.drop_table("endpoint")
