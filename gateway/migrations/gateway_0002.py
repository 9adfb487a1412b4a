"""Members, states of workspaces, narrower and expiring API clients with two live secrets, signing keys."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from chassis.migrate import INSTANT, key_columns, tenant_table, worker_may

revision = "gateway_0002"
down_revision = "gateway_0001"
branch_labels = None
depends_on = None


def client_columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("version", sa.Integer, nullable=False, server_default="1"),
        sa.Column("scopes", sa.ARRAY(sa.Text)),
        sa.Column("old_secret_hash", sa.LargeBinary),
        sa.Column("old_secret_ends_at", INSTANT),
        sa.Column("created_by", sa.Text, nullable=False, server_default=""),
        sa.Column("expires_at", INSTANT),
        sa.Column("revoked_by", sa.Text),
        sa.Column("last_used_at", INSTANT),
    ]


def upgrade() -> None:
    state = sa.CheckConstraint("state IN ('active', 'suspended')", name="state")
    op.add_column("workspace", sa.Column("state", sa.String(40), state, nullable=False, server_default="active"))
    op.add_column("workspace", sa.Column("version", sa.Integer, nullable=False, server_default="1"))
    op.add_column("workspace", sa.Column("created_at", INSTANT))
    for column in client_columns():
        op.add_column("api_client", column)
    for field in ("name", "created_at"):
        op.create_index(f"api_client_workspace_id_{field}_id_idx", "api_client", ["workspace_id", field, "id"])
    op.create_table(
        "member",
        *key_columns(),
        sa.Column("version", sa.Integer, nullable=False, server_default="1"),
        sa.Column("subject", sa.String, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("email", sa.String),
        sa.Column("roles", sa.ARRAY(sa.Text), nullable=False),
        sa.Column("state", sa.String(40), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("created_by", sa.String, nullable=False),
        sa.CheckConstraint("state IN ('active', 'suspended', 'removed')", name="state"),
    )
    op.create_index(
        "member_workspace_id_subject_idx", "member", ["workspace_id", "subject"],
        unique=True, postgresql_where=sa.text("state <> 'removed'"),
    )  # fmt: skip
    for field in ("state", "name", "created_at"):
        op.create_index(f"member_workspace_id_{field}_id_idx", "member", ["workspace_id", field, "id"])
    tenant_table("member")
    # Belongs to the installation, not to a workspace: no tenant policy, so that no tenant sees a row of it.
    op.create_table(
        "signing_key",
        sa.Column("kid", sa.Text, primary_key=True),
        sa.Column("public", JSONB, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("signs_from", INSTANT, nullable=False),
    )
    op.execute("ALTER TABLE signing_key ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE signing_key FORCE ROW LEVEL SECURITY")
    worker_may("signing_key", "SELECT, INSERT, DELETE")


def downgrade() -> None:
    op.drop_table("signing_key")
    op.drop_table("member")
    for field in ("name", "created_at"):
        op.drop_index(f"api_client_workspace_id_{field}_id_idx", "api_client")
    for column in client_columns():
        op.drop_column("api_client", column.name)
    for name in ("created_at", "version", "state"):
        op.drop_column("workspace", name)
