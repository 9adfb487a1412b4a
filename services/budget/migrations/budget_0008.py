"""What orders cost beyond what they were placed for as an account of the ledger, and spending by its day; what a dry
run would have changed so far; lines by channel; what is attached to requests; figures of the
company."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from chassis.migrate import INSTANT, key_columns, tenant_table

revision = "budget_0008"
down_revision = "budget_0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("balance", "entry"):
        op.add_column(table, sa.Column("price", sa.BigInteger, nullable=False, server_default="0"))
    # Entries that are there know nothing of it, and never change.
    op.add_column("entry", sa.Column("after_price", sa.BigInteger))
    op.create_check_constraint("entry_price_check", "entry", "price = 0 OR kind IN ('actual', 'release', 'reverse')")
    op.create_index(
        "entry_workspace_id_line_id_booked_on_idx", "entry", ["workspace_id", "line_id", "booked_on"],
        postgresql_include=["actual", "recorded_at"], postgresql_where=sa.text("actual <> 0"),
    )  # fmt: skip
    op.add_column("statement", sa.Column("rehearsed", JSONB))
    op.add_column("line", sa.Column("channel", sa.String))
    op.create_index("line_workspace_id_channel_id_idx", "line", ["workspace_id", "channel", "id"])
    op.add_column("request", sa.Column("asset_ids", ARRAY(sa.Uuid), nullable=False, server_default="{}"))

    op.create_table(
        "company_figure",
        *key_columns(),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("period_start", sa.Date, nullable=False),
        sa.Column("period_end", sa.Date, nullable=False),
        sa.Column("currency", sa.String, nullable=False),
        sa.Column("minor", sa.BigInteger, nullable=False),
        sa.Column("created_by", sa.String, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("version", sa.Integer, nullable=False, server_default="1"),
        sa.UniqueConstraint("workspace_id", "name"),
        sa.CheckConstraint("period_end > period_start", name="company_figure_period_check"),
        sa.CheckConstraint("minor > 0", name="company_figure_minor_check"),
        sa.CheckConstraint("kind IN ('budget', 'revenue')", name="company_figure_kind_check"),
    )
    for column in ("name", "kind", "period_start", "created_at"):
        op.create_index(
            f"company_figure_workspace_id_{column}_id_idx", "company_figure", ["workspace_id", column, "id"]
        )
    tenant_table("company_figure")


def downgrade() -> None:
    op.drop_table("company_figure")
    op.drop_column("request", "asset_ids")
    op.drop_index("line_workspace_id_channel_id_idx", "line")
    op.drop_column("line", "channel")
    op.drop_column("statement", "rehearsed")
    op.drop_index("entry_workspace_id_line_id_booked_on_idx", "entry")
    op.drop_constraint("entry_price_check", "entry")
    for table, columns in (("entry", ("after_price", "price")), ("balance", ("price",))):
        for column in columns:
            op.drop_column(table, column)
