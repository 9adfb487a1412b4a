"""An index for each column that a list is sorted or filtered by."""

from alembic import op

revision = "goals_0004"
down_revision = "goals_0003"
branch_labels = None
depends_on = None

SORTED_OR_FILTERED = {
    "campaign": ("name", "flight_start", "flight_end", "created_at"),
    "objective": ("name", "stakeholder", "created_at"),
}


def upgrade() -> None:
    for table, columns in SORTED_OR_FILTERED.items():
        for column in columns:
            op.create_index(f"{table}_workspace_id_{column}_id_idx", table, ["workspace_id", column, "id"])


def downgrade() -> None:
    for table, columns in SORTED_OR_FILTERED.items():
        for column in columns:
            op.drop_index(f"{table}_workspace_id_{column}_id_idx", table)
