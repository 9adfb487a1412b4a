"""Audit: who did what, when, from what to what."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from chassis.migrate import INSTANT, key_columns, login_role, tenant_table

revision = "chassis_0002"
down_revision = "chassis_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "audit",
        *key_columns(),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("operation", sa.Text, nullable=False),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("row_id", sa.Uuid),
        sa.Column("changes", JSONB, nullable=False),
        sa.CheckConstraint("action IN ('created','changed','deleted')", name="audit_action_check"),
    )
    for column in ("at", "actor", "operation", "kind", "row_id"):
        op.create_index(f"audit_workspace_id_{column}_id_idx", "audit", ["workspace_id", column, "id"])
    tenant_table("audit")
    # Only ever added to, whatever a service's code does.
    op.execute(f'REVOKE UPDATE, DELETE, TRUNCATE ON audit FROM "{login_role()}"')


def downgrade() -> None:
    op.drop_table("audit")
