"""Scenarios: other plans for a tree of lines."""

import sqlalchemy as sa
from alembic import op

from chassis.migrate import INSTANT, key_columns, tenant_table

revision = "budget_0006"
down_revision = "budget_0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "scenario",
        *key_columns(),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("line_id", sa.Uuid, nullable=False),
        sa.Column("state", sa.String(40), nullable=False),
        sa.Column("created_by", sa.String, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("decided_by", sa.String),
        sa.Column("decided_at", INSTANT),
        sa.Column("version", sa.Integer, nullable=False, server_default="1"),
        _within("scenario", "line_id", "line"),
        sa.CheckConstraint("state IN ('draft','adopted','discarded')", name="scenario_state_check"),
    )
    op.create_table(
        "scenario_line",
        *key_columns(),
        sa.Column("scenario_id", sa.Uuid, nullable=False),
        sa.Column("line_id", sa.Uuid, nullable=False),
        sa.Column("minor", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.String, nullable=False),
        sa.Column("period_start", sa.Date, nullable=False),
        sa.Column("period_end", sa.Date, nullable=False),
        sa.Column("version", sa.Integer, nullable=False, server_default="1"),
        _within("scenario_line", "scenario_id", "scenario"),
        _within("scenario_line", "line_id", "line"),
        sa.UniqueConstraint(
            "workspace_id", "scenario_id", "line_id", name="scenario_line_workspace_id_scenario_id_line_id_key"
        ),
        sa.CheckConstraint("period_end > period_start", name="scenario_line_period_check"),
    )
    indexes = {
        "scenario": ("line_id", "state", "name", "created_at"),
        "scenario_line": ("scenario_id", "line_id"),
    }
    for table, columns in indexes.items():
        for column in columns:
            op.create_index(f"{table}_workspace_id_{column}_id_idx", table, ["workspace_id", column, "id"])
        tenant_table(table)


def _within(table: str, column: str, to: str) -> sa.ForeignKeyConstraint:
    name = f"{table}_workspace_id_{column}_fkey"
    return sa.ForeignKeyConstraint(["workspace_id", column], [f"{to}.workspace_id", f"{to}.id"], name=name)


def downgrade() -> None:
    for table in ("scenario_line", "scenario"):
        op.drop_table(table)
