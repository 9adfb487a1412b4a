"""Events judged by what stands around them; who isn't written to; consent, erasure, retention; replayed quarantine."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from chassis.migrate import INSTANT, key_columns, login_role, tenant_table, worker_may

revision = "metrics_0007"
down_revision = "metrics_0006"
branch_labels = None
depends_on = None

LOOKED_AT = "'clicked','unsubscribed','subscribed','bounced','complained'"
TABLES = ("unjudged", "suppression", "consent", "erasure", "retention")


def upgrade() -> None:
    for column in ("honeypots", "bot_networks"):
        op.add_column("source", sa.Column(column, sa.ARRAY(sa.Text), nullable=False, server_default="{}"))
    op.create_index(
        "occurrence_recipient_idx", "occurrence", ["workspace_id", "recipient_id", "id"],
        postgresql_where=sa.text("type IN ('clicked', 'unsubscribed')"),
    )  # fmt: skip
    op.create_table(
        "unjudged",
        *key_columns(),
        sa.Column("events", sa.ARRAY(sa.Uuid), nullable=False),
        sa.Column("noted_at", INSTANT, nullable=False),
    )
    _people()
    op.add_column("quarantine", sa.Column("state", sa.String(40), nullable=False, server_default="waiting"))
    op.create_check_constraint("quarantine_state_check", "quarantine", "state IN ('waiting','replayed')")
    op.add_column("quarantine", sa.Column("replayed_at", INSTANT))
    op.add_column("quarantine", sa.Column("headers", JSONB, nullable=False, server_default="{}"))
    op.create_index("quarantine_workspace_id_state_id_idx", "quarantine", ["workspace_id", "state", "id"])
    for table in TABLES:
        tenant_table(table)
    # Before a workspace is known: what waits to be judged, and whom there is still something of.
    for table in ("unjudged", "erasure"):
        worker_may(table, "SELECT")
    _erasing()
    _look_at_what_is_there()


def _erasing() -> None:
    # Acts as the schema's owner, since the record of who did what is only ever added to: takes what it is told to look
    # for out of the caller's own workspace's, and puts nothing in but a word for an erased person.
    op.execute("""
        CREATE FUNCTION erase_from_audit(wanted text, word text) RETURNS int LANGUAGE plpgsql SECURITY DEFINER
        SET search_path = metrics, pg_temp AS $$
        DECLARE many int;
        BEGIN
            IF word !~ '^erased-[0-9a-f]{16}$' THEN
                RAISE EXCEPTION 'no word for an erased person';
            END IF;
            UPDATE audit SET changes = cast(regexp_replace(changes::text, wanted, word, 'gi') AS jsonb)
            WHERE lower(changes::text) ~ wanted;
            GET DIAGNOSTICS many = ROW_COUNT;
            RETURN many;
        END $$
    """)
    op.execute("REVOKE ALL ON FUNCTION erase_from_audit(text, text) FROM PUBLIC")
    op.execute(f'GRANT EXECUTE ON FUNCTION erase_from_audit(text, text) TO "{login_role()}"')


def _people() -> None:
    op.create_table(
        "suppression",
        *key_columns(),
        sa.Column("address_hash", sa.LargeBinary, nullable=False),
        sa.Column("reason", sa.String(40), nullable=False),
        sa.Column("state", sa.String(40), nullable=False),
        sa.Column("source_id", sa.Uuid),
        sa.Column("event_id", sa.Uuid),
        sa.Column("since", INSTANT, nullable=False),
        sa.Column("asked_at", INSTANT),
        sa.Column("held_at", INSTANT),
        sa.Column("lifted_at", INSTANT),
        sa.Column("version", sa.Integer, nullable=False, server_default="1"),
        sa.UniqueConstraint("workspace_id", "address_hash", "reason"),
        sa.CheckConstraint("reason IN ('bounce','complaint','unsubscribe','by_hand')", name="suppression_reason_check"),
        sa.CheckConstraint("state IN ('active','held','lifted')", name="suppression_state_check"),
    )
    op.create_table(
        "consent",
        *key_columns(),
        sa.Column("address_hash", sa.LargeBinary, nullable=False),
        sa.Column("purpose", sa.String, nullable=False),
        sa.Column("given", sa.Boolean, nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("wording", sa.String, nullable=False),
        sa.Column("evidence", sa.String, nullable=False),
        sa.Column("recorded_at", INSTANT, nullable=False),
        sa.Column("recorded_by", sa.String, nullable=False),
    )
    op.create_index("consent_workspace_id_address_hash_at_idx", "consent", ["workspace_id", "address_hash", "at"])
    op.create_table(
        "erasure",
        *key_columns(),
        sa.Column("address_hash", sa.LargeBinary, nullable=False),
        sa.Column("needle", sa.LargeBinary),
        sa.Column("state", sa.String(40), nullable=False),
        sa.Column("requested_at", INSTANT, nullable=False),
        sa.Column("requested_by", sa.String, nullable=False),
        sa.Column("done_at", INSTANT),
        sa.Column("found", JSONB, nullable=False),
        sa.CheckConstraint("state IN ('sweeping','done')", name="erasure_state_check"),
    )
    op.create_table(
        "retention",
        *key_columns(),
        sa.Column("quarantine_days", sa.Integer, nullable=False),
        sa.Column("withdrawn_consent_days", sa.Integer, nullable=False),
        sa.UniqueConstraint("workspace_id"),
    )
    for table, columns in (
        ("suppression", ("reason", "state", "source_id", "since")),
        ("consent", ("purpose", "at", "recorded_at")),
        ("erasure", ("state", "requested_at")),
    ):
        for column in columns:
            op.create_index(f"{table}_workspace_id_{column}_id_idx", table, ["workspace_id", column, "id"])


def _look_at_what_is_there() -> None:
    # What is stored already, and what the version that serves meanwhile stores.
    op.execute(f"""
        INSERT INTO unjudged (workspace_id, id, events, noted_at)
        SELECT workspace_id, gen_random_uuid(), array_agg(id), max(received_at) FROM (
            SELECT workspace_id, id, received_at,
                row_number() OVER (PARTITION BY workspace_id ORDER BY id) / 500 AS part
            FROM occurrence WHERE type IN ({LOOKED_AT}) AND recipient_id IS NOT NULL
        ) AS each GROUP BY workspace_id, part
    """)
    op.execute("""
        CREATE FUNCTION note_unjudged() RETURNS trigger LANGUAGE plpgsql SET search_path = metrics, pg_temp AS $$
        BEGIN
            INSERT INTO unjudged (workspace_id, id, events, noted_at) VALUES (NEW.workspace_id, gen_random_uuid(),
                ARRAY[occurrence_id(NEW.source_id, NEW.key, NEW.occurred_at)], NEW.received_at);
            RETURN NULL;
        END $$
    """)
    op.execute(f"""
        CREATE TRIGGER note_unjudged AFTER INSERT ON event FOR EACH ROW
        WHEN (NEW.type IN ({LOOKED_AT}) AND NEW.recipient_id IS NOT NULL) EXECUTE FUNCTION note_unjudged()
    """)


def downgrade() -> None:
    op.execute("DROP FUNCTION erase_from_audit(text, text)")
    op.execute("DROP TRIGGER note_unjudged ON event")
    op.execute("DROP FUNCTION note_unjudged()")
    for table in reversed(TABLES):
        op.drop_table(table)
    op.drop_index("quarantine_workspace_id_state_id_idx", "quarantine")
    op.drop_constraint("quarantine_state_check", "quarantine")
    for column in ("headers", "replayed_at", "state"):
        op.drop_column("quarantine", column)
    op.drop_index("occurrence_recipient_idx", "occurrence")
    for column in ("bot_networks", "honeypots"):
        op.drop_column("source", column)
