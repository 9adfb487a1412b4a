"""Sources of every platform, in states, with a second secret and URL for a while; what came to each; claims."""

import sqlalchemy as sa
from alembic import op

from chassis.migrate import INSTANT, tenant_table, worker_may

revision = "metrics_0003"
down_revision = "metrics_0002"
branch_labels = None
depends_on = None

PLATFORMS = (
    "'sendgrid','mailgun','mailchimp','mandrill','postmark','ses','brevo','mailjet','sparkpost','resend','standard',"
    "'hubspot','klaviyo','customerio'"
)
STATES = "'awaiting','active','paused','revoked'"
COLUMNS = ("version", "state", "campaign_by", "old_token_hash", "old_token_ends_at", "old_credentials",
           "old_credentials_end_at")  # fmt: skip


def upgrade() -> None:
    for column in (
        sa.Column("version", sa.Integer, nullable=False, server_default="1"),
        sa.Column("state", sa.String(40), nullable=False, server_default="active"),
        sa.Column("campaign_by", sa.ARRAY(sa.Text), nullable=False, server_default="{tags}"),
        sa.Column("old_token_hash", sa.LargeBinary),
        sa.Column("old_token_ends_at", INSTANT),
        sa.Column("old_credentials", sa.LargeBinary),
        sa.Column("old_credentials_end_at", INSTANT),
    ):
        op.add_column("source", column)
    op.create_check_constraint("source_state_check", "source", f"state IN ({STATES})")
    op.create_index("source_old_token_hash_idx", "source", ["old_token_hash"])
    op.create_index("source_workspace_id_state_idx", "source", ["workspace_id", "state"])
    op.drop_constraint("source_platform_check", "source")
    op.create_check_constraint("source_platform_check", "source", f"platform IN ({PLATFORMS})")
    op.create_table(
        "intake",
        sa.Column("workspace_id", sa.Uuid, primary_key=True),
        sa.Column("source_id", sa.Uuid, primary_key=True),
        sa.Column("hour", INSTANT, primary_key=True),
        *(
            sa.Column(name, sa.BigInteger, nullable=False)
            for name in ("received", "stored", "unmapped", "quarantined", "refused")
        ),
    )
    op.create_index("intake_hour_idx", "intake", ["hour"])
    op.create_table(
        "claim",
        sa.Column("workspace_id", sa.Uuid, primary_key=True),
        sa.Column("source_id", sa.Uuid, primary_key=True),
        sa.Column("signed", sa.LargeBinary, primary_key=True),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("claimed_at", INSTANT, nullable=False),
    )
    op.create_index("claim_claimed_at_idx", "claim", ["claimed_at"])
    for table in ("intake", "claim"):
        tenant_table(table)
        worker_may(table, "SELECT, DELETE")


def downgrade() -> None:
    op.drop_table("claim")
    op.drop_table("intake")
    op.drop_constraint("source_platform_check", "source")
    # Sources of other platforms stay as they are: the version before doesn't know them, and finds none by their URL.
    op.execute(
        "ALTER TABLE source ADD CONSTRAINT source_platform_check CHECK (platform IN ('sendgrid','standard')) NOT VALID"
    )
    for column in COLUMNS:
        op.drop_column("source", column)
