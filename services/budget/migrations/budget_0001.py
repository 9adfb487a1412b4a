"""Lines, and the ledger: entries and balances."""

import sqlalchemy as sa
from alembic import op

from chassis.migrate import INSTANT, key_columns, tenant_table, worker_role

revision = "budget_0001"
down_revision = None
branch_labels = ("budget",)
depends_on = "chassis_0001"

POTS = ("allotted", "reserved", "committed", "actual")


def upgrade() -> None:
    op.create_table(
        "line",
        *key_columns(),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("department", sa.String, nullable=False),
        sa.Column("campaign_id", sa.Uuid),
        sa.Column("parent_id", sa.Uuid),
        sa.Column("period_start", sa.Date, nullable=False),
        sa.Column("period_end", sa.Date, nullable=False),
        sa.Column("currency", sa.String, nullable=False),
        sa.Column("policy", sa.String(40), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id", "parent_id"], ["line.workspace_id", "line.id"], name="line_workspace_id_parent_id_fkey"
        ),
        sa.CheckConstraint("period_end > period_start", name="line_period_check"),
        sa.CheckConstraint("policy IN ('stop','warn')", name="line_policy_check"),
    )
    for filtered in ("campaign_id", "department", "parent_id"):
        op.create_index(f"line_workspace_id_{filtered}_id_idx", "line", ["workspace_id", filtered, "id"])
    op.create_table(
        "entry",
        *key_columns(),
        sa.Column("line_id", sa.Uuid, nullable=False),
        sa.Column("kind", sa.String(40), nullable=False),
        *(sa.Column(pot, sa.BigInteger, nullable=False) for pot in POTS),
        sa.Column("recorded_by", sa.String, nullable=False),
        sa.Column("recorded_at", INSTANT, nullable=False),
        sa.Column("reason", sa.String, nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id", "line_id"], ["line.workspace_id", "line.id"], name="entry_workspace_id_line_id_fkey"
        ),
        sa.CheckConstraint(
            "kind IN ('allot','transfer','reserve','commit','actual','release','reverse','revalue')",
            name="entry_kind_check",
        ),
    )
    op.create_index("entry_workspace_id_line_id_recorded_at_idx", "entry", ["workspace_id", "line_id", "recorded_at"])
    op.create_table(
        "balance",
        *key_columns(),
        *(sa.Column(pot, sa.BigInteger, nullable=False) for pot in POTS),
        sa.Column("changed_at", INSTANT, nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id", "id"], ["line.workspace_id", "line.id"], name="balance_workspace_id_id_fkey"
        ),
    )
    for table in ("line", "entry", "balance"):
        tenant_table(table)
    # Append-only, whatever the code does: the login role's default rights allow more.
    login = worker_role().removesuffix("_worker")
    op.execute(f'REVOKE UPDATE, DELETE ON entry FROM "{login}"')


def downgrade() -> None:
    for table in ("balance", "entry", "line"):
        op.drop_table(table)
