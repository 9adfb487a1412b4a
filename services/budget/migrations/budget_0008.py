"""What orders cost beyond what they were placed for as an account of the ledger, and spending by its day; what a dry
run would have changed so far; lines by channel; what is attached to requests."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

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


def downgrade() -> None:
    op.drop_column("request", "asset_ids")
    op.drop_index("line_workspace_id_channel_id_idx", "line")
    op.drop_column("line", "channel")
    op.drop_column("statement", "rehearsed")
    op.drop_index("entry_workspace_id_line_id_booked_on_idx", "entry")
    op.drop_constraint("entry_price_check", "entry")
    for table, columns in (("entry", ("after_price", "price")), ("balance", ("price",))):
        for column in columns:
            op.drop_column(table, column)
