"""An index for each column that a list is sorted or filtered by."""

from alembic import op

revision = "metrics_0002"
down_revision = "metrics_0001"
branch_labels = None
depends_on = None

SORTED_OR_FILTERED = {
    "source": ("name", "created_at"),
    "quarantine": ("received_at",),
}


def upgrade() -> None:
    for table, columns in SORTED_OR_FILTERED.items():
        for column in columns:
            op.create_index(f"{table}_workspace_id_{column}_id_idx", table, ["workspace_id", column, "id"])


def downgrade() -> None:
    for table, columns in SORTED_OR_FILTERED.items():
        for column in columns:
            op.drop_index(f"{table}_workspace_id_{column}_id_idx", table)
