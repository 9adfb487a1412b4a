"""An index for each column that a list is sorted or filtered by."""

from alembic import op

revision = "budget_0003"
down_revision = "budget_0002"
branch_labels = None
depends_on = None

SORTED_OR_FILTERED = {
    "line": ("name", "period_start", "created_at"),
}


def upgrade() -> None:
    for table, columns in SORTED_OR_FILTERED.items():
        for column in columns:
            op.create_index(f"{table}_workspace_id_{column}_id_idx", table, ["workspace_id", column, "id"])


def downgrade() -> None:
    for table, columns in SORTED_OR_FILTERED.items():
        for column in columns:
            op.drop_index(f"{table}_workspace_id_{column}_id_idx", table)
