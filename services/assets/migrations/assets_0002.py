"""Versions of assets, their way from draft to published, and what images say of themselves."""

import sqlalchemy as sa
from alembic import op

from chassis.migrate import INSTANT, key_columns, login_role, tenant_table

revision = "assets_0002"
down_revision = "assets_0001"
branch_labels = None
depends_on = None

FACTS = "filename, media_type, size, sha256, width, height"
STATES = "('draft','in_review','approved','published','archived')"
FILTERS = ("state", "media_type", "sha256", "title", "created_at")

# A UUIDv7, as all ids are: 48 bits of milliseconds over a random one, and the version's two bits.
NEW_ID = """encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
    PLACING substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1 FOR 6),
    52, 1), 53, 1), 'hex')::uuid"""


def upgrade() -> None:
    for column in (
        sa.Column("version", sa.Integer, nullable=False, server_default="1"),
        sa.Column("width", sa.Integer),
        sa.Column("height", sa.Integer),
        sa.Column("current_version", sa.Integer, nullable=False, server_default="1"),
        sa.Column("published_version", sa.Integer),
        sa.Column("uploaded_by", sa.String),
        sa.Column("uploaded_at", INSTANT),
    ):
        op.add_column("asset", column)
    # What notation text is said to be in is added when it leaves.
    op.execute("UPDATE asset SET media_type = 'text/plain' WHERE media_type LIKE 'text/plain;%'")
    for name in FILTERS:
        op.create_index(f"asset_workspace_id_{name}_id_idx", "asset", ["workspace_id", name, "id"])
    op.create_table(
        "asset_version",
        *key_columns(),
        sa.Column("asset_id", sa.Uuid, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("filename", sa.String, nullable=False),
        sa.Column("media_type", sa.String, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.String, nullable=False),
        sa.Column("width", sa.Integer),
        sa.Column("height", sa.Integer),
        sa.Column("uploaded_by", sa.String, nullable=False),
        sa.Column("uploaded_at", INSTANT, nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id", "asset_id"],
            ["asset.workspace_id", "asset.id"],
            name="asset_version_workspace_id_asset_id_fkey",
        ),
        sa.UniqueConstraint(
            "workspace_id", "asset_id", "number", name="asset_version_workspace_id_asset_id_number_key"
        ),
    )
    for name in ("asset_id", "sha256"):
        op.create_index(f"asset_version_workspace_id_{name}_id_idx", "asset_version", ["workspace_id", name, "id"])
    op.execute(
        f"""INSERT INTO asset_version (workspace_id, id, asset_id, number, {FACTS}, uploaded_by, uploaded_at)
            SELECT workspace_id, id, id, 1, {FACTS}, created_by, created_at FROM asset"""  # noqa: S608  # of constants
    )
    # The table keeps its versions by itself: no writer can forget to, the one before this migration included.
    schema = op.get_context().config.attributes["part"]  # type: ignore[union-attr]
    new = ", ".join(f"NEW.{name}" for name in FACTS.split(", "))
    op.execute(
        f"""CREATE FUNCTION keep_version() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                IF TG_OP = 'INSERT' OR NEW.current_version <> OLD.current_version THEN
                    INSERT INTO "{schema}".asset_version
                        (workspace_id, id, asset_id, number, {FACTS}, uploaded_by, uploaded_at)
                    VALUES (NEW.workspace_id, CASE TG_OP WHEN 'INSERT' THEN NEW.id ELSE {NEW_ID} END, NEW.id,
                        NEW.current_version, {new},
                        coalesce(NEW.uploaded_by, NEW.created_by), coalesce(NEW.uploaded_at, NEW.created_at));
                END IF;
                RETURN NULL;
            END $$"""  # noqa: S608  # of constants
    )
    op.execute(
        "CREATE TRIGGER keep_version AFTER INSERT OR UPDATE ON asset FOR EACH ROW EXECUTE FUNCTION keep_version()"
    )
    op.create_table(
        "asset_step",
        *key_columns(),
        sa.Column("asset_id", sa.Uuid, nullable=False),
        sa.Column("action", sa.String(40), nullable=False),
        sa.Column("from_state", sa.String(40), nullable=False),
        sa.Column("to_state", sa.String(40), nullable=False),
        sa.Column("version_number", sa.Integer, nullable=False),
        sa.Column("reason", sa.String, nullable=False),
        sa.Column("taken_by", sa.String, nullable=False),
        sa.Column("taken_at", INSTANT, nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id", "asset_id"],
            ["asset.workspace_id", "asset.id"],
            name="asset_step_workspace_id_asset_id_fkey",
        ),
        sa.CheckConstraint(
            "action IN ('submit','approve','send_back','publish','archive','restore','replace')",
            name="asset_step_action_check",
        ),
        sa.CheckConstraint(f"from_state IN {STATES}", name="asset_step_from_state_check"),
        sa.CheckConstraint(f"to_state IN {STATES}", name="asset_step_to_state_check"),
    )
    op.create_index("asset_step_workspace_id_asset_id_id_idx", "asset_step", ["workspace_id", "asset_id", "id"])
    for table in ("asset_version", "asset_step"):
        tenant_table(table)
        op.execute(f'REVOKE UPDATE, DELETE, TRUNCATE ON {table} FROM "{login_role()}"')


def downgrade() -> None:
    op.drop_table("asset_step")
    op.execute("DROP TRIGGER keep_version ON asset")
    op.execute("DROP FUNCTION keep_version()")
    op.drop_table("asset_version")
    for name in FILTERS:
        op.drop_index(f"asset_workspace_id_{name}_id_idx", "asset")
    op.execute("UPDATE asset SET media_type = 'text/plain; charset=utf-8' WHERE media_type LIKE 'text/%'")
    for name in ("uploaded_at", "uploaded_by", "published_version", "current_version", "height", "width", "version"):
        op.drop_column("asset", name)
