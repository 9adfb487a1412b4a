"""Lines that can be edited."""

import sqlalchemy as sa
from alembic import op

revision = "budget_0002"
down_revision = "budget_0001"
branch_labels = None
depends_on = "chassis_0002"


def upgrade() -> None:
    op.add_column("line", sa.Column("version", sa.Integer, nullable=False, server_default="1"))


def downgrade() -> None:
    op.drop_column("line", "version")
