"""Sources, events, what is kept about them, and the roll-ups that numbers are read from."""

import sqlalchemy as sa
from alembic import op

from chassis.migrate import INSTANT, key_columns, tenant_table, worker_may

revision = "metrics_0001"
down_revision = None
branch_labels = ("metrics",)
depends_on = "chassis_0001"

TYPES = (
    "'queued','sent','delivered','deferred','bounced','rejected','failed','opened','clicked','complained',"
    "'unsubscribed','subscribed','unknown'"
)


def _cell() -> list[sa.Column[object]]:
    return [
        sa.Column("workspace_id", sa.Uuid, nullable=False),
        sa.Column("source_id", sa.Uuid, nullable=False),
        sa.Column("campaign_id", sa.Uuid),
        sa.Column("day", sa.Date, nullable=False),
    ]


def upgrade() -> None:
    # The one place that says which local day an instant is in.
    op.execute("""
        CREATE FUNCTION local_day(moment timestamptz, zone text) RETURNS date LANGUAGE sql STABLE PARALLEL SAFE
        RETURN cast(moment AT TIME ZONE zone AS date)
    """)
    op.execute("""
        CREATE FUNCTION message_hash(message_id text) RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE
        RETURN cast(
            encode(substring(sha256(convert_to(coalesce(message_id, ''), 'UTF8')) FROM 1 FOR 16), 'hex') AS uuid
        )
    """)
    op.create_table(
        "source",
        *key_columns(),
        sa.Column("platform", sa.String(40), nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("token_hash", sa.LargeBinary, nullable=False),
        sa.Column("credentials", sa.LargeBinary, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("received_at", INSTANT),
        sa.CheckConstraint("platform IN ('sendgrid','standard')", name="source_platform_check"),
    )
    op.create_index("source_token_hash_idx", "source", ["token_hash"])
    op.create_index("source_workspace_id_platform_idx", "source", ["workspace_id", "platform"])
    op.create_table(
        "recipient",
        *key_columns(),
        sa.Column("address", sa.String, nullable=False),
        sa.Column("address_hash", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("workspace_id", "address_hash", name="recipient_workspace_id_address_hash_key"),
    )
    op.create_table(
        "campaign",
        *key_columns(),
        sa.Column("slug", sa.String, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.UniqueConstraint("workspace_id", "slug", name="campaign_workspace_id_slug_key"),
    )
    op.create_table(
        "tag_set",
        *key_columns(),
        sa.Column("tags", sa.ARRAY(sa.Text), nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("workspace_id", "digest", name="tag_set_workspace_id_digest_key"),
    )
    _events()
    _roll_ups()
    for table in (
        "source", "recipient", "campaign", "tag_set", "event", "quarantine", "tally", "impression", "change",
    ):  # fmt: skip
        tenant_table(table)
    # A post's source is found by its token, and untold changes by a job, before a workspace is known.
    worker_may("source", "SELECT")
    worker_may("change", "SELECT")


def _events() -> None:
    op.create_table(
        "event",
        *key_columns(),
        sa.Column("source_id", sa.Uuid, nullable=False),
        sa.Column("key", sa.LargeBinary, nullable=False),
        sa.Column("type", sa.String(40), nullable=False),
        sa.Column("recipient_id", sa.Uuid),
        sa.Column("message_id", sa.String),
        sa.Column("url", sa.String),
        sa.Column("tag_set_id", sa.Uuid),
        sa.Column("campaign_id", sa.Uuid),
        sa.Column("occurred_at", INSTANT, nullable=False),
        sa.Column("received_at", INSTANT, nullable=False),
        sa.Column("verdict", sa.String(40), nullable=False),
        sa.Column("reasons", sa.ARRAY(sa.Text), nullable=False),
        sa.UniqueConstraint("workspace_id", "source_id", "key", name="event_workspace_id_source_id_key_key"),
        sa.CheckConstraint(f"type IN ({TYPES})", name="event_type_check"),
        sa.CheckConstraint("verdict IN ('human','bot','unknown')", name="event_verdict_check"),
        *(
            sa.ForeignKeyConstraint(
                ["workspace_id", f"{other}_id"],
                [f"{other}.workspace_id", f"{other}.id"],
                name=f"event_workspace_id_{other}_id_fkey",
            )
            for other in ("source", "recipient", "campaign", "tag_set")
        ),
    )
    for columns in (
        ["campaign_id", "id"], ["campaign_id", "occurred_at"], ["source_id", "id"], ["source_id", "occurred_at"],
        ["occurred_at"], ["tag_set_id"],
    ):  # fmt: skip
        op.create_index(f"event_workspace_id_{'_'.join(columns)}_idx", "event", ["workspace_id", *columns])
    op.create_table(
        "quarantine",
        *key_columns(),
        sa.Column("source_id", sa.Uuid, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("reason", sa.String, nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.Column("excerpt", sa.String, nullable=False),
        sa.Column("received_at", INSTANT, nullable=False),
        sa.UniqueConstraint("workspace_id", "source_id", "digest", name="quarantine_workspace_id_source_id_digest_key"),
        sa.ForeignKeyConstraint(
            ["workspace_id", "source_id"],
            ["source.workspace_id", "source.id"],
            name="quarantine_workspace_id_source_id_fkey",
        ),
    )


def _roll_ups() -> None:
    op.create_table(
        "tally",
        *_cell(),
        sa.Column("type", sa.String(40), nullable=False),
        sa.Column("verdict", sa.String(40), nullable=False),
        sa.Column("count", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "impression",
        *_cell(),
        sa.Column("verdict", sa.String(40), nullable=False),
        sa.Column("recipient_id", sa.Uuid, nullable=False),
        sa.Column("message", sa.Uuid, nullable=False),
    )
    for table, rest in (("tally", ["type", "verdict"]), ("impression", ["verdict", "recipient_id", "message"])):
        op.create_index(
            f"{table}_cell_idx",
            table,
            ["workspace_id", "campaign_id", "day", "source_id", *rest],
            unique=True,
            postgresql_nulls_not_distinct=True,
        )
    op.create_table(
        "change",
        sa.Column("workspace_id", sa.Uuid, primary_key=True),
        sa.Column("campaign_ids", sa.ARRAY(sa.Uuid), nullable=False),
        sa.Column("unmapped", sa.Boolean, nullable=False),
        sa.Column("since", sa.Date, nullable=False),
        sa.Column("until", sa.Date, nullable=False),
    )


def downgrade() -> None:
    for table in ("change", "impression", "tally", "quarantine", "event", "tag_set", "campaign", "recipient", "source"):
        op.drop_table(table)
    op.execute("DROP FUNCTION message_hash(text)")
    op.execute("DROP FUNCTION local_day(timestamptz, text)")
