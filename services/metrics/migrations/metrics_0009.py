"""Up to when events are counted in sealed days, where the zone of these was another."""

import sqlalchemy as sa
from alembic import op

from chassis.migrate import INSTANT, tenant_table

revision = "metrics_0009"
down_revision = "metrics_0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "seal",
        sa.Column("workspace_id", sa.Uuid, primary_key=True),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("until", INSTANT, nullable=False),
    )
    tenant_table("seal")


def downgrade() -> None:
    op.drop_table("seal")
