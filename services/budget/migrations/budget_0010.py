"""What was the plan before a scenario was adopted is kept as a scenario."""

import sqlalchemy as sa
from alembic import op

revision = "budget_0010"
down_revision = "budget_0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("scenario", sa.Column("before_id", sa.Uuid))
    op.create_foreign_key(
        "scenario_before_id_fkey", "scenario", "scenario", ["workspace_id", "before_id"], ["workspace_id", "id"]
    )
    op.create_index("scenario_workspace_id_before_id_id_idx", "scenario", ["workspace_id", "before_id", "id"])


def downgrade() -> None:
    op.drop_column("scenario", "before_id")
