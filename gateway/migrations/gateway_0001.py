"""API clients and service accounts."""

import sqlalchemy as sa
from alembic import op

from chassis.migrate import INSTANT, key_columns, tenant_table, worker_may

revision = "gateway_0001"
down_revision = None
branch_labels = ("gateway",)
depends_on = "chassis_0001"


def upgrade() -> None:
    op.create_table(
        "api_client",
        *key_columns(),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("roles", sa.ARRAY(sa.Text), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("revoked_at", INSTANT),
    )
    op.create_index("api_client_id_idx", "api_client", ["id"])
    tenant_table("api_client")
    worker_may("api_client", "SELECT")
    # Belongs to the installation, not to a workspace: no tenant policy, so that no tenant sees a row of it.
    op.create_table(
        "service_account",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("secret_hash", sa.LargeBinary, nullable=False),
        sa.Column("scopes", sa.ARRAY(sa.Text), nullable=False),
    )
    op.execute("ALTER TABLE service_account ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE service_account FORCE ROW LEVEL SECURITY")
    worker_may("service_account", "SELECT")


def downgrade() -> None:
    op.drop_table("service_account")
    op.drop_table("api_client")
