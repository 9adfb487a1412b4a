"""Campaigns that are edited, come from state to state, and show who acted on their cancellation."""

import sqlalchemy as sa
from alembic import op

from chassis.migrate import INSTANT, tenant_table, worker_may

revision = "goals_0003"
down_revision = "goals_0002"
branch_labels = None
depends_on = "chassis_0002"


def upgrade() -> None:
    op.add_column("campaign", sa.Column("version", sa.Integer, nullable=False, server_default="1"))
    op.add_column("campaign", sa.Column("state_at", INSTANT))
    op.add_column("campaign", sa.Column("state_by", sa.String))
    op.add_column("campaign", sa.Column("state_reason", sa.String))
    for filtered in ("state", "owner"):
        op.create_index(f"campaign_workspace_id_{filtered}_id_idx", "campaign", ["workspace_id", filtered, "id"])
    op.create_index(
        "campaign_flight_start_due_idx", "campaign", ["flight_start"], postgresql_where=sa.text("state = 'approved'")
    )
    op.create_index(
        "campaign_flight_end_due_idx", "campaign", ["flight_end"],
        postgresql_where=sa.text("state IN ('live', 'paused')"),
    )  # fmt: skip
    op.create_table(
        "campaign_confirmation",
        sa.Column("workspace_id", sa.Uuid, primary_key=True),
        sa.Column("campaign_id", sa.Uuid, primary_key=True),
        sa.Column("part", sa.String, primary_key=True),
        sa.Column("effects", sa.Integer, nullable=False),
        sa.Column("confirmed_at", INSTANT, nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id", "campaign_id"], ["campaign.workspace_id", "campaign.id"],
            name="campaign_confirmation_workspace_id_campaign_id_fkey",
        ),
    )  # fmt: skip
    tenant_table("campaign_confirmation")
    worker_may("campaign", "SELECT (workspace_id, id, state, flight_start, flight_end)")


def downgrade() -> None:
    op.drop_table("campaign_confirmation")
    op.execute("DROP POLICY worker ON campaign")
    for index in ("flight_end_due", "flight_start_due", "workspace_id_owner_id", "workspace_id_state_id"):
        op.drop_index(f"campaign_{index}_idx", "campaign")
    for column in ("state_reason", "state_by", "state_at", "version"):
        op.drop_column("campaign", column)
