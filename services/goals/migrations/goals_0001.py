"""Campaigns, objectives, goals and their evaluations."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from chassis.migrate import INSTANT, key_columns, tenant_table, worker_may

revision = "goals_0001"
down_revision = None
branch_labels = ("goals",)
depends_on = "chassis_0001"


def upgrade() -> None:
    op.create_table(
        "campaign",
        *key_columns(),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("slug", sa.String, nullable=False),
        sa.Column("brief", sa.String, nullable=False),
        sa.Column("owner", sa.String, nullable=False),
        sa.Column("flight_start", sa.Date, nullable=False),
        sa.Column("flight_end", sa.Date, nullable=False),
        sa.Column("channels", sa.ARRAY(sa.Text), nullable=False),
        sa.Column("territories", sa.ARRAY(sa.Text), nullable=False),
        sa.Column("state", sa.String(40), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.UniqueConstraint("workspace_id", "slug", name="campaign_workspace_id_slug_key"),
        sa.CheckConstraint("flight_end > flight_start", name="campaign_flight_check"),
        sa.CheckConstraint(
            "state IN ('idea','planned','approved','live','paused','completed','archived','cancelled')",
            name="campaign_state_check",
        ),
    )
    op.create_table(
        "objective",
        *key_columns(),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("stakeholder", sa.String(40), nullable=False),
        sa.Column("needs", sa.String, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.CheckConstraint("stakeholder IN ('ceo','cio','cmo','director','other')", name="objective_stakeholder_check"),
    )
    op.create_table(
        "goal",
        *key_columns(),
        sa.Column("title", sa.String, nullable=False),
        sa.Column("metric_key", sa.String, nullable=False),
        sa.Column("metric_version", sa.Integer),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("baseline_from", sa.Date),
        sa.Column("baseline_to", sa.Date),
        sa.Column("change_percent", sa.Numeric),
        sa.Column("asked_value", sa.Float),
        sa.Column("window_start", sa.Date, nullable=False),
        sa.Column("window_due", sa.Date, nullable=False),
        sa.Column("owner", sa.String, nullable=False),
        sa.Column("relevance", sa.String, nullable=False),
        sa.Column("objective_id", sa.Uuid),
        sa.Column("state", sa.String(40), nullable=False),
        sa.Column("target_value", sa.Float),
        sa.Column("baseline_value", sa.Float),
        sa.Column("baseline_watermark", INSTANT),
        sa.Column("adds_up", sa.Boolean),
        sa.Column("activated_at", INSTANT),
        sa.Column("activated_by", sa.String),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("evaluate_at", INSTANT, nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id", "objective_id"], ["objective.workspace_id", "objective.id"],
            name="goal_workspace_id_objective_id_fkey",
        ),
        sa.CheckConstraint("window_due > window_start", name="goal_window_check"),
        sa.CheckConstraint("baseline_to > baseline_from", name="goal_baseline_check"),
        sa.CheckConstraint(
            "kind IN ('increase','decrease','reach','keep_above','keep_below')", name="goal_kind_check"
        ),
        sa.CheckConstraint(
            "state IN ('draft','active','achieved','missed','cancelled')", name="goal_state_check"
        ),
    )  # fmt: skip
    op.create_index("goal_workspace_id_objective_id_idx", "goal", ["workspace_id", "objective_id"])
    op.create_index(
        "goal_evaluate_at_idx", "goal", ["evaluate_at"], postgresql_where=sa.text("state IN ('draft', 'active')")
    )
    op.create_table(
        "goal_campaign",
        sa.Column("workspace_id", sa.Uuid, primary_key=True),
        sa.Column("goal_id", sa.Uuid, primary_key=True),
        sa.Column("campaign_id", sa.Uuid, primary_key=True),
        sa.ForeignKeyConstraint(
            ["workspace_id", "goal_id"], ["goal.workspace_id", "goal.id"],
            name="goal_campaign_workspace_id_goal_id_fkey",
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id", "campaign_id"], ["campaign.workspace_id", "campaign.id"],
            name="goal_campaign_workspace_id_campaign_id_fkey",
        ),
    )  # fmt: skip
    op.create_index(
        "goal_campaign_workspace_id_campaign_id_goal_id_idx", "goal_campaign",
        ["workspace_id", "campaign_id", "goal_id"],
    )  # fmt: skip
    op.create_table(
        "evaluation",
        *key_columns(),
        sa.Column("goal_id", sa.Uuid, nullable=False),
        sa.Column("evaluated_at", INSTANT, nullable=False),
        sa.Column("checked_at", INSTANT, nullable=False),
        sa.Column("metric_version", sa.Integer),
        sa.Column("adds_up", sa.Boolean, nullable=False),
        sa.Column("value", sa.Float),
        sa.Column("baseline", sa.Float),
        sa.Column("target", sa.Float),
        sa.Column("baseline_watermark", INSTANT),
        sa.Column("smart", JSONB, nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id", "goal_id"], ["goal.workspace_id", "goal.id"], name="evaluation_workspace_id_goal_id_fkey"
        ),
    )
    op.create_index(
        "evaluation_workspace_id_goal_id_evaluated_at_idx", "evaluation", ["workspace_id", "goal_id", "evaluated_at"]
    )
    for table in ("campaign", "objective", "goal", "goal_campaign", "evaluation"):
        tenant_table(table)
    worker_may("goal", "SELECT (workspace_id, id, state, evaluate_at)")


def downgrade() -> None:
    for table in ("evaluation", "goal_campaign", "goal", "objective", "campaign"):
        op.drop_table(table)
