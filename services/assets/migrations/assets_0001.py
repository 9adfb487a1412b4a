"""Assets, and the campaigns that they belong to."""

import sqlalchemy as sa
from alembic import op

from chassis.migrate import INSTANT, key_columns, tenant_table

revision = "assets_0001"
down_revision = None
branch_labels = ("assets",)
depends_on = "chassis_0001"


def upgrade() -> None:
    op.create_table(
        "asset",
        *key_columns(),
        sa.Column("title", sa.String, nullable=False),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("state", sa.String(40), nullable=False),
        sa.Column("filename", sa.String, nullable=False),
        sa.Column("media_type", sa.String, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.String, nullable=False),
        sa.Column("created_by", sa.String, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.CheckConstraint("size > 0", name="asset_size_check"),
        sa.CheckConstraint(
            "kind IN ('logo','design','document','blog_post','photo','video','audio','email_template','landing_page',"
            "'ad','content_offer','sales_enablement','message')",
            name="asset_kind_check",
        ),
        sa.CheckConstraint(
            "state IN ('draft','in_review','approved','published','archived')", name="asset_state_check"
        ),
    )
    op.create_index("asset_workspace_id_kind_id_idx", "asset", ["workspace_id", "kind", "id"])
    op.create_table(
        "asset_campaign",
        *key_columns(),
        sa.Column("asset_id", sa.Uuid, nullable=False),
        sa.Column("campaign_id", sa.Uuid, nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id", "asset_id"],
            ["asset.workspace_id", "asset.id"],
            name="asset_campaign_workspace_id_asset_id_fkey",
        ),
        sa.UniqueConstraint(
            "workspace_id", "asset_id", "campaign_id", name="asset_campaign_workspace_id_asset_id_campaign_id_key"
        ),
    )
    op.create_index(
        "asset_campaign_workspace_id_campaign_id_asset_id_idx",
        "asset_campaign",
        ["workspace_id", "campaign_id", "asset_id"],
    )
    for table in ("asset", "asset_campaign"):
        tenant_table(table)


def downgrade() -> None:
    for table in ("asset_campaign", "asset"):
        op.drop_table(table)
