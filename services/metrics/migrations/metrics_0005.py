"""No foreign keys on events: what one names is found or made in the statement's own transaction, and never removed."""

from alembic import op

revision = "metrics_0005"
down_revision = "metrics_0004"
branch_labels = None
depends_on = None

PARENTS = ("source", "recipient", "campaign", "tag_set")


def upgrade() -> None:
    for parent in PARENTS:
        op.drop_constraint(f"event_workspace_id_{parent}_id_fkey", "event", type_="foreignkey")


def downgrade() -> None:
    for parent in PARENTS:
        op.create_foreign_key(
            f"event_workspace_id_{parent}_id_fkey",
            "event",
            parent,
            ["workspace_id", f"{parent}_id"],
            ["workspace_id", "id"],
        )
