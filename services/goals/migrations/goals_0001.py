"""Campaigns."""

import sqlalchemy as sa
from alembic import op

from chassis.migrate import tenant_table

revision = "goals_0001"
down_revision = None
branch_labels = ("goals",)
depends_on = "chassis_0001"


def upgrade() -> None:
    op.create_table(
        "campaign",
        sa.Column("workspace_id", sa.Uuid, primary_key=True),
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("slug", sa.String, nullable=False),
        sa.Column("brief", sa.String, nullable=False),
        sa.Column("owner", sa.String, nullable=False),
        sa.Column("flight_start", sa.Date, nullable=False),
        sa.Column("flight_end", sa.Date, nullable=False),
        sa.Column("channels", sa.ARRAY(sa.Text), nullable=False),
        sa.Column("territories", sa.ARRAY(sa.Text), nullable=False),
        sa.Column("state", sa.String(40), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.UniqueConstraint("workspace_id", "slug", name="campaign_workspace_id_slug_key"),
        sa.CheckConstraint("flight_end > flight_start", name="campaign_flight_check"),
        sa.CheckConstraint(
            "state IN ('idea','planned','approved','live','paused','completed','archived','cancelled')",
            name="campaign_state_check",
        ),
    )
    tenant_table("campaign")


def downgrade() -> None:
    op.drop_table("campaign")
