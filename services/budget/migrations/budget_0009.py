"""When others are told that an obligation is overdue."""

import sqlalchemy as sa
from alembic import op

from chassis.migrate import worker_may

revision = "budget_0009"
down_revision = "budget_0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("obligation", sa.Column("tell_on", sa.Date))
    op.execute("UPDATE obligation SET tell_on = due WHERE NOT is_met")
    op.create_index(
        "obligation_tell_on_idx", "obligation", ["tell_on"], postgresql_where=sa.text("tell_on IS NOT NULL")
    )
    worker_may("obligation", "SELECT (workspace_id, id, tell_on)")


def downgrade() -> None:
    op.execute("DROP POLICY worker ON obligation")
    op.drop_column("obligation", "tell_on")
