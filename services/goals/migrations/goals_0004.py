"""An index for each column that a list is sorted or filtered by."""

import sqlalchemy as sa
from alembic import op

revision = "goals_0004"
down_revision = "goals_0003"
branch_labels = None
depends_on = None

SORTED_OR_FILTERED = {
    "campaign": ("name", "flight_start", "flight_end", "created_at"),
    "goal": ("needs_review",),
    "objective": ("name", "stakeholder", "created_at"),
}


def upgrade() -> None:
    for table, columns in SORTED_OR_FILTERED.items():
        for column in columns:
            op.create_index(f"{table}_workspace_id_{column}_id_idx", table, ["workspace_id", column, "id"])
    # Whether a review is wanted comes as a parameter, which no partial index serves.
    op.drop_index("goal_workspace_id_id_idx", "goal")


def downgrade() -> None:
    op.create_index(
        "goal_workspace_id_id_idx", "goal", ["workspace_id", "id"], postgresql_where=sa.text("needs_review")
    )
    for table, columns in SORTED_OR_FILTERED.items():
        for column in columns:
            op.drop_index(f"{table}_workspace_id_{column}_id_idx", table)
