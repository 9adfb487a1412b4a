"""An index for looking members up by subject, removed ones too."""

from alembic import op

revision = "gateway_0003"
down_revision = "gateway_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("member_workspace_id_subject_id_idx", "member", ["workspace_id", "subject", "id"])


def downgrade() -> None:
    op.drop_index("member_workspace_id_subject_id_idx", "member")
