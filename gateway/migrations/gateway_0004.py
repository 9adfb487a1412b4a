"""What happens in all parts, kept for those who listen."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from chassis.migrate import INSTANT, key_columns, tenant_table, worker_may

revision = "gateway_0004"
down_revision = "gateway_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "happening",
        *key_columns(),
        sa.Column("position", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("type", sa.String, nullable=False),
        sa.Column("part", sa.String, nullable=False),
        sa.Column("subject", sa.String, nullable=False),
        sa.Column("data", JSONB, nullable=False),
        sa.Column("occurred_at", INSTANT, nullable=False),
        sa.Column("received_at", INSTANT, nullable=False),
        sa.Column("trace", sa.String),
    )
    op.create_index("happening_workspace_id_position_idx", "happening", ["workspace_id", "position"], unique=True)
    for column in ("type", "part", "subject", "occurred_at"):
        op.create_index(f"happening_workspace_id_{column}_id_idx", "happening", ["workspace_id", column, "id"])
    op.create_index("happening_received_at_idx", "happening", ["received_at"])
    tenant_table("happening")
    worker_may("happening", "SELECT, DELETE")


def downgrade() -> None:
    op.drop_table("happening")
