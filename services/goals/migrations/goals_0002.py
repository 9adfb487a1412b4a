"""Goals judged by their metric's history, with outcomes, overrides, revisions and reviews."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from chassis.migrate import INSTANT, key_columns, tenant_table

revision = "goals_0002"
down_revision = "goals_0001"
branch_labels = None
depends_on = "chassis_0002"

GOAL_INDEXES = {
    "goal_workspace_id_objective_id_id_idx": ["workspace_id", "objective_id", "id"],
    "goal_workspace_id_state_id_idx": ["workspace_id", "state", "id"],
    "goal_workspace_id_kind_id_idx": ["workspace_id", "kind", "id"],
    "goal_workspace_id_metric_key_id_idx": ["workspace_id", "metric_key", "id"],
    "goal_workspace_id_owner_id_idx": ["workspace_id", "owner", "id"],
    "goal_workspace_id_health_id_idx": ["workspace_id", "health", "id"],
    "goal_workspace_id_window_due_id_idx": ["workspace_id", "window_due", "id"],
    "goal_workspace_id_title_id_idx": ["workspace_id", "title", "id"],
    "goal_workspace_id_created_at_id_idx": ["workspace_id", "created_at", "id"],
}
PARENT = (["workspace_id", "goal_id"], ["goal.workspace_id", "goal.id"])


def upgrade() -> None:
    for column in (
        sa.Column("version", sa.Integer, nullable=False, server_default="1"),
        sa.Column("changed_at", INSTANT),
        sa.Column("health", sa.String(40)),
        sa.Column("closed_at", INSTANT),
        sa.Column("closed_by", sa.String),
        sa.Column("closing_reason", sa.String),
        sa.Column("outcome_value", sa.Float),
        sa.Column("needs_review", sa.Boolean, nullable=False, server_default="false"),
    ):
        op.add_column("goal", column)
    op.create_check_constraint("goal_health_check", "goal", "health IN ('on_track','at_risk','off_track')")
    op.alter_column("goal", "evaluate_at", nullable=True)
    op.drop_index("goal_workspace_id_objective_id_idx", "goal")
    op.drop_index("goal_evaluate_at_idx", "goal")
    op.create_index("goal_evaluate_at_idx", "goal", ["evaluate_at"])
    for name, columns in GOAL_INDEXES.items():
        op.create_index(name, "goal", columns)
    op.create_index(
        "goal_workspace_id_id_idx", "goal", ["workspace_id", "id"], postgresql_where=sa.text("needs_review")
    )
    op.create_table(
        "history",
        *key_columns(),
        sa.Column("goal_id", sa.Uuid, nullable=False),
        sa.Column("found_at", INSTANT, nullable=False),
        sa.Column("checked_at", INSTANT, nullable=False),
        sa.Column("asked", sa.String, nullable=False),
        sa.Column("anchor", sa.Date, nullable=False),
        sa.Column("windows", sa.ARRAY(sa.Float), nullable=False),
        sa.Column("months", sa.ARRAY(sa.Float)),
        sa.Column("weekdays", sa.ARRAY(sa.Float)),
        sa.Column("no_season", sa.String),
        sa.Column("dispersion", sa.Float),
        sa.Column("days", sa.Integer, nullable=False),
        sa.Column("weight_per_day", sa.Float),
        sa.ForeignKeyConstraint(*PARENT, name="history_workspace_id_goal_id_fkey"),
    )
    op.create_index("history_workspace_id_goal_id_found_at_idx", "history", ["workspace_id", "goal_id", "found_at"])
    for column in (
        sa.Column("downward", sa.Boolean, nullable=False, server_default="false"),
        sa.Column("window_start", sa.Date),
        sa.Column("window_due", sa.Date),
        sa.Column("history_id", sa.Uuid),
    ):
        op.add_column("evaluation", column)
    op.create_foreign_key(
        "evaluation_workspace_id_history_id_fkey", "evaluation", "history",
        ["workspace_id", "history_id"], ["workspace_id", "id"],
    )  # fmt: skip
    op.create_index("evaluation_workspace_id_history_id_idx", "evaluation", ["workspace_id", "history_id"])
    op.create_table(
        "override",
        *key_columns(),
        sa.Column("goal_id", sa.Uuid, nullable=False),
        sa.Column("letter", sa.String(40), nullable=False),
        sa.Column("reason", sa.String, nullable=False),
        sa.Column("overridden_by", sa.String, nullable=False),
        sa.Column("overridden_at", INSTANT, nullable=False),
        sa.ForeignKeyConstraint(*PARENT, name="override_workspace_id_goal_id_fkey"),
        sa.CheckConstraint("letter IN ('A','R')", name="override_letter_check"),
    )
    op.create_table(
        "revision",
        *key_columns(),
        sa.Column("goal_id", sa.Uuid, nullable=False),
        sa.Column("reason", sa.String, nullable=False),
        sa.Column("revised_by", sa.String, nullable=False),
        sa.Column("revised_at", INSTANT, nullable=False),
        sa.Column("before", JSONB, nullable=False),
        sa.Column("after", JSONB, nullable=False),
        sa.ForeignKeyConstraint(*PARENT, name="revision_workspace_id_goal_id_fkey"),
    )
    op.create_table(
        "review",
        *key_columns(),
        sa.Column("goal_id", sa.Uuid, nullable=False),
        sa.Column("learned", sa.String, nullable=False),
        sa.Column("changes", sa.String, nullable=False),
        sa.Column("author", sa.String, nullable=False),
        sa.Column("reviewed_at", INSTANT, nullable=False),
        sa.ForeignKeyConstraint(*PARENT, name="review_workspace_id_goal_id_fkey"),
    )
    for table in ("override", "revision", "review"):
        op.create_index(f"{table}_workspace_id_goal_id_id_idx", table, ["workspace_id", "goal_id", "id"])
    for table in ("history", "override", "revision", "review"):
        tenant_table(table)


def downgrade() -> None:
    for table in ("review", "revision", "override"):
        op.drop_table(table)
    for column in ("history_id", "window_due", "window_start", "downward"):
        op.drop_column("evaluation", column)
    op.drop_table("history")
    for name in ("goal_workspace_id_id_idx", "goal_evaluate_at_idx", *GOAL_INDEXES):
        op.drop_index(name, "goal")
    op.execute("UPDATE goal SET evaluate_at = coalesce(closed_at, created_at) WHERE evaluate_at IS NULL")
    op.alter_column("goal", "evaluate_at", nullable=False)
    op.create_index("goal_workspace_id_objective_id_idx", "goal", ["workspace_id", "objective_id"])
    op.create_index(
        "goal_evaluate_at_idx", "goal", ["evaluate_at"], postgresql_where=sa.text("state IN ('draft', 'active')")
    )
    for column in (
        "needs_review", "outcome_value", "closing_reason", "closed_by", "closed_at", "health", "changed_at", "version",
    ):  # fmt: skip
        op.drop_column("goal", column)
