"""Metrics of one's own, observations, alerts; and who clicked which message in the roll-ups."""

import sqlalchemy as sa
from alembic import op

from chassis.migrate import INSTANT, key_columns, tenant_table, worker_may

revision = "metrics_0004"
down_revision = "metrics_0003"
branch_labels = None
depends_on = None

UNITS = "'count','percent','ratio','money','seconds'"
GRAINS = "'day','week','month','quarter','year','total'"


def upgrade() -> None:
    _catalogue()
    _observations()
    _alerts()
    # What there is are opens. The version before goes on adding those, and its ON CONFLICT names no index.
    op.add_column("impression", sa.Column("type", sa.String(40), nullable=False, server_default="opened"))
    op.drop_index("impression_cell_idx", "impression")
    _cells("type")
    op.execute("""
        INSERT INTO impression (workspace_id, source_id, campaign_id, day, verdict, recipient_id, message, type)
        SELECT DISTINCT e.workspace_id, e.source_id, e.campaign_id, local_day(e.occurred_at, w.zone), e.verdict,
            e.recipient_id, message_hash(e.message_id), e.type
        FROM event e JOIN workspace w ON w.workspace_id = e.workspace_id
        WHERE e.type = 'clicked' AND e.recipient_id IS NOT NULL
        ON CONFLICT DO NOTHING
    """)
    for table in ("metric", "metric_version", "observation", "alert", "finding", "watch"):
        tenant_table(table)
    # Whose alerts are to be looked at, a job finds before a workspace is known.
    worker_may("watch", "SELECT")


def _cells(*more: str) -> None:
    op.create_index(
        "impression_cell_idx",
        "impression",
        ["workspace_id", "campaign_id", "day", *more, "source_id", "verdict", "recipient_id", "message"],
        unique=True,
        postgresql_nulls_not_distinct=True,
    )


def _catalogue() -> None:
    op.create_table(
        "metric",
        *key_columns(),
        sa.Column("key", sa.String, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("retired_at", INSTANT),
        sa.UniqueConstraint("workspace_id", "key", name="metric_workspace_id_key_key"),
    )
    choices = {
        "unit": UNITS, "direction": "'up','down'", "observed": "'sum','mean'",
        "bots": "'counted','left_out','only','unknown'", "distinct_key": "'recipient_message','recipient'",
        "impressions_from": "'opens','deliveries'", "nulls": "'null','zero'", "grain": GRAINS,
    }  # fmt: skip
    op.create_table(
        "metric_version",
        *key_columns(),
        *(sa.Column(name, sa.String, nullable=False) for name in ("key", "name", "words")),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("expression", sa.String),
        *(sa.Column(name, sa.String(40), nullable=name == "observed") for name in choices),
        sa.Column("currency", sa.String),
        sa.Column("additive", sa.Boolean, nullable=False),
        sa.Column("uses", sa.ARRAY(sa.Text), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("created_by", sa.String, nullable=False),
        sa.UniqueConstraint("workspace_id", "key", "version", name="metric_version_workspace_id_key_version_key"),
        sa.ForeignKeyConstraint(
            ["workspace_id", "key"],
            ["metric.workspace_id", "metric.key"],
            name="metric_version_workspace_id_key_fkey",
            ondelete="CASCADE",
        ),
        *(
            sa.CheckConstraint(f"{name} IN ({values})", name=f"metric_version_{name}_check")
            for name, values in choices.items()
        ),
    )


def _observations() -> None:
    op.create_table(
        "observation",
        *key_columns(),
        sa.Column("metric", sa.String, nullable=False),
        sa.Column("campaign_id", sa.Uuid),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("amount", sa.Numeric),
        sa.Column("currency", sa.String),
        sa.Column("reference", sa.String, nullable=False),
        sa.Column("note", sa.String, nullable=False),
        sa.Column("recorded_at", INSTANT, nullable=False),
        sa.Column("recorded_by", sa.String, nullable=False),
        sa.Column("corrects_id", sa.Uuid),
        sa.Column("reason", sa.String),
        sa.Column("superseded_at", INSTANT),
        sa.UniqueConstraint("workspace_id", "corrects_id", name="observation_workspace_id_corrects_id_key"),
        sa.ForeignKeyConstraint(
            ["workspace_id", "campaign_id"],
            ["campaign.workspace_id", "campaign.id"],
            name="observation_workspace_id_campaign_id_fkey",
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id", "corrects_id"],
            ["observation.workspace_id", "observation.id"],
            name="observation_workspace_id_corrects_id_fkey",
        ),
    )
    op.create_index(
        "observation_holds_key",
        "observation",
        ["workspace_id", "metric", "day", "campaign_id", "reference"],
        unique=True,
        postgresql_where="superseded_at IS NULL",
        postgresql_nulls_not_distinct=True,
    )
    for columns in (
        ["metric", "day"], ["metric", "recorded_at"], ["campaign_id", "id"], ["metric", "id"], ["day", "id"],
        ["recorded_at", "id"],
    ):  # fmt: skip
        op.create_index(f"observation_workspace_id_{'_'.join(columns)}_idx", "observation", ["workspace_id", *columns])


def _alerts() -> None:
    op.create_table(
        "alert",
        *key_columns(),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("metric", sa.String, nullable=False),
        sa.Column("campaign_ids", sa.ARRAY(sa.Uuid), nullable=False),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("value", sa.Float),
        sa.Column("sensitivity", sa.Float, nullable=False),
        sa.Column("weeks", sa.Integer, nullable=False),
        sa.Column("grain", sa.String(40), nullable=False),
        sa.Column("state", sa.String(40), nullable=False),
        sa.Column("since", sa.Date, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("version", sa.Integer, nullable=False, server_default="1"),
        sa.CheckConstraint("kind IN ('above','below','anomaly')", name="alert_kind_check"),
        sa.CheckConstraint(f"grain IN ({GRAINS})", name="alert_grain_check"),
        sa.CheckConstraint("state IN ('active','paused')", name="alert_state_check"),
    )
    op.create_table(
        "finding",
        *key_columns(),
        sa.Column("alert_id", sa.Uuid, nullable=False),
        sa.Column("start", sa.Date, nullable=False),
        sa.Column("value", sa.Float, nullable=False),
        sa.Column("limit", sa.Float),
        sa.Column("expected", sa.Float),
        sa.Column("deviation", sa.Float),
        sa.Column("metric_version", sa.Integer, nullable=False),
        sa.Column("found_at", INSTANT, nullable=False),
        sa.Column("acknowledged_at", INSTANT),
        sa.Column("acknowledged_by", sa.String),
        sa.Column("note", sa.String),
        sa.UniqueConstraint("workspace_id", "alert_id", "start", name="finding_workspace_id_alert_id_start_key"),
        sa.ForeignKeyConstraint(
            ["workspace_id", "alert_id"], ["alert.workspace_id", "alert.id"], name="finding_workspace_id_alert_id_fkey"
        ),
    )
    for table, columns in (
        ("alert", ("name", "metric", "state", "created_at")),
        ("finding", ("alert_id", "start", "found_at", "acknowledged_at")),
    ):
        for column in columns:
            op.create_index(f"{table}_workspace_id_{column}_id_idx", table, ["workspace_id", column, "id"])
    op.create_table(
        "watch",
        sa.Column("workspace_id", sa.Uuid, primary_key=True),
        sa.Column("changes", sa.BigInteger, nullable=False),
        sa.Column("seen", sa.BigInteger, nullable=False),
        sa.Column("looked_at", INSTANT, nullable=False),
    )


def downgrade() -> None:
    for table in ("watch", "finding", "alert", "observation", "metric_version", "metric"):
        op.drop_table(table)
    op.drop_index("impression_cell_idx", "impression")
    op.execute("DELETE FROM impression WHERE type <> 'opened'")
    op.drop_column("impression", "type")
    _cells()
