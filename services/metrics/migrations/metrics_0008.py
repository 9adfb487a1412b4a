"""How good the sources were that a finding rested on."""

import sqlalchemy as sa
from alembic import op

revision = "metrics_0008"
down_revision = "metrics_0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    grades = sa.CheckConstraint("quality IN ('good', 'fair', 'poor', 'silent')", name="quality")
    op.add_column("finding", sa.Column("quality", sa.String(40), grades))


def downgrade() -> None:
    op.drop_column("finding", "quality")
