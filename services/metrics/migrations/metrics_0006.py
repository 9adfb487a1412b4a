"""Events partitioned by their own time under a key that says it; numbers folded from what waits; sets as bitmaps.

The tables of before stay for the version that serves meanwhile: what it stores there is stored here too, and what is
known here isn't stored there again. They go with the next release.
"""

import sqlalchemy as sa
from alembic import op

from chassis.migrate import INSTANT, TENANT, key_columns, login_role, tenant_table, worker_may, worker_role

revision = "metrics_0006"
down_revision = "metrics_0005"
branch_labels = None
# First outbox, then events: in the order in which the version that serves takes them, or the two deadlock.
depends_on = "chassis_0003"

TYPES = (
    "'queued','sent','delivered','deferred','bounced','rejected','failed','opened','clicked','complained',"
    "'unsubscribed','subscribed','unknown'"
)
NONE = "'00000000-0000-0000-0000-000000000000'::uuid"
COLUMNS = (
    "workspace_id, id, source_id, type, recipient_id, message_id, url, tag_set_id, campaign_id, occurred_at,"
    " received_at, verdict, reasons"
)


def upgrade() -> None:
    _functions()
    _occurrences()
    _numbers()
    _partitions()
    _carry_over()


def _functions() -> None:
    # The first id that an event of this moment can have: as event/rules.py makes them.
    op.execute("""
        CREATE FUNCTION first_id(moment timestamptz) RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE
        RETURN cast(
            lpad(to_hex(cast(floor(extract(epoch FROM moment) * 1000) AS bigint)), 12, '0') || '7'
            || lpad(to_hex(cast(floor(extract(epoch FROM moment) * 1000000) AS bigint) % 1000), 3, '0')
            || '8000000000000000' AS uuid
        )
    """)
    # Of a recipient and a message: half of a SHA-256, so that no sender can make two pairs one.
    op.execute("""
        CREATE FUNCTION pair_hash(recipient uuid, message_id text) RETURNS bytea LANGUAGE sql IMMUTABLE PARALLEL SAFE
        RETURN substring(
            sha256(uuid_send(recipient) || convert_to(coalesce(message_id, ''), 'UTF8')) FROM 1 FOR 16
        )
    """)


def _occurrences() -> None:
    op.create_table(
        "occurrence",
        *key_columns(),
        sa.Column("source_id", sa.Uuid, nullable=False),
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
        sa.CheckConstraint(f"type IN ({TYPES})", name="occurrence_type_check"),
        sa.CheckConstraint("verdict IN ('human','bot','unknown')", name="occurrence_verdict_check"),
        postgresql_partition_by="RANGE (id)",
    )
    for parent in ("campaign_id", "source_id"):
        op.create_index(f"occurrence_workspace_id_{parent}_id_idx", "occurrence", ["workspace_id", parent, "id"])
    op.create_index(
        "occurrence_unmapped_idx", "occurrence", ["workspace_id", "tag_set_id"],
        postgresql_where=sa.text("campaign_id IS NULL AND tag_set_id IS NOT NULL"),
    )  # fmt: skip
    tenant_table("occurrence")


def _numbers() -> None:
    op.create_table(
        "uncounted",
        *key_columns(),
        sa.Column("source_id", sa.Uuid, nullable=False),
        sa.Column("campaign_id", sa.Uuid, nullable=False),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("type", sa.String(40), nullable=False),
        sa.Column("verdict", sa.String(40), nullable=False),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.Column("pairs", sa.LargeBinary),
        sa.Column("received_at", INSTANT, nullable=False),
    )
    op.create_table(
        "counted",
        sa.Column("workspace_id", sa.Uuid, primary_key=True),
        sa.Column("campaign_id", sa.Uuid, primary_key=True),
        sa.Column("grain", sa.String(10), primary_key=True),
        sa.Column("start", sa.Date, primary_key=True),
        sa.Column("source_id", sa.Uuid, primary_key=True),
        sa.Column("type", sa.String(40), primary_key=True),
        sa.Column("verdict", sa.String(40), primary_key=True),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.CheckConstraint("grain IN ('day','month')", name="counted_grain_check"),
    )
    op.create_table(
        "reach",
        sa.Column("workspace_id", sa.Uuid, primary_key=True),
        sa.Column("campaign_id", sa.Uuid, primary_key=True),
        sa.Column("grain", sa.String(10), primary_key=True),
        sa.Column("start", sa.Date, primary_key=True),
        sa.Column("source_id", sa.Uuid, primary_key=True),
        sa.Column("type", sa.String(40), primary_key=True),
        sa.Column("unit", sa.String(40), primary_key=True),
        sa.Column("human", sa.Integer, nullable=False),
        sa.Column("bot", sa.Integer, nullable=False),
        sa.Column("unknown", sa.Integer, nullable=False),
        sa.Column("humans", sa.LargeBinary),
        sa.Column("bots", sa.LargeBinary),
        sa.Column("unknowns", sa.LargeBinary),
        sa.CheckConstraint("grain IN ('day','month')", name="reach_grain_check"),
        sa.CheckConstraint("unit IN ('recipient_message','recipient')", name="reach_unit_check"),
    )
    # Compact already, and written anew each time: to compress them again only takes time.
    for column in ("humans", "bots", "unknowns"):
        op.execute(f"ALTER TABLE reach ALTER COLUMN {column} SET STORAGE EXTERNAL")
    op.create_table(
        "pair",
        sa.Column("workspace_id", sa.Uuid, primary_key=True),
        sa.Column("hash", sa.LargeBinary, primary_key=True),
        sa.Column("number", sa.Integer, nullable=False),
    )
    op.create_table(
        "numbering",
        sa.Column("workspace_id", sa.Uuid, primary_key=True),
        sa.Column("next", sa.Integer, nullable=False),
    )
    for table in ("uncounted", "counted", "reach", "pair", "numbering"):
        tenant_table(table)
    # What waits to be counted is looked for by a job, before a workspace is known.
    worker_may("uncounted", "SELECT")


def _partitions() -> None:
    # These two act as the schema's owner, since a service owns nothing: they see no row, take nothing but days, and
    # drop nothing younger than a year by the server's own clock.
    op.execute(f"""
        CREATE FUNCTION keep_occurrences(first date, until date) RETURNS int LANGUAGE plpgsql SECURITY DEFINER
        SET search_path = metrics, pg_temp AS $$
        DECLARE
            starts date := date_trunc('month', first);
            ends date;
            part text;
            made int := 0;
        BEGIN
            IF until - first > 366 * 40 OR until > now() + interval '100 years' THEN
                RAISE EXCEPTION 'too many months';
            END IF;
            PERFORM pg_advisory_xact_lock(hashtextextended('occurrence partitions', 0));
            WHILE starts < until LOOP
                ends := starts + interval '1 month';
                part := 'occurrence_' || to_char(starts, 'YYYY_MM');
                IF to_regclass(part) IS NULL THEN
                    EXECUTE format('CREATE TABLE %I (LIKE occurrence INCLUDING ALL)', part);
                    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', part);
                    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', part);
                    EXECUTE format($policy$CREATE POLICY tenant ON %I USING ({TENANT}) WITH CHECK ({TENANT})$policy$,
                        part);
                    EXECUTE format('ALTER TABLE occurrence ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', part,
                        first_id(starts::timestamp AT TIME ZONE 'UTC'), first_id(ends::timestamp AT TIME ZONE 'UTC'));
                    made := made + 1;
                END IF;
                starts := ends;
            END LOOP;
            RETURN made;
        END $$
    """)
    op.execute("""
        CREATE FUNCTION drop_occurrences(before date) RETURNS int LANGUAGE plpgsql SECURITY DEFINER
        SET search_path = metrics, pg_temp AS $$
        DECLARE
            part text;
            dropped int := 0;
        BEGIN
            IF before > now() - interval '1 year' THEN
                RAISE EXCEPTION 'events of the last twelve months stay';
            END IF;
            FOR part IN SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                WHERE i.inhparent = 'occurrence'::regclass
                -- In a CASE, since a plan may ask this of every table first.
                AND CASE WHEN c.relname ~ '^occurrence_[0-9]{4}_[0-9]{2}$'
                    THEN to_date(right(c.relname, 7), 'YYYY_MM') + interval '1 month' <= before END
            LOOP
                EXECUTE format('DROP TABLE %I', part);
                dropped := dropped + 1;
            END LOOP;
            RETURN dropped;
        END $$
    """)
    for function in ("keep_occurrences(date, date)", "drop_occurrences(date)"):
        op.execute(f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC")
        op.execute(f'GRANT EXECUTE ON FUNCTION {function} TO "{login_role()}", "{worker_role()}"')
    op.execute("""
        SELECT keep_occurrences(
            least(cast(now() - interval '36 months' AS date),
                  (SELECT cast(min(occurred_at) AS date) FROM event)),
            cast(now() + interval '3 months' AS date)
        )
    """)


def _carry_over() -> None:
    # The id as event/rules.py makes it: the time, and of the key and the source 62 bits.
    op.execute("""
        CREATE FUNCTION occurrence_id(source uuid, key bytea, moment timestamptz) RETURNS uuid
        LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
        DECLARE
            salt bytea := sha256(uuid_send(source));
            mixed bytea := substring(key || decode(repeat('00', 8), 'hex') FROM 1 FOR 8);
        BEGIN
            FOR place IN 0..7 LOOP
                mixed := set_byte(mixed, place, get_byte(mixed, place) # get_byte(salt, place));
            END LOOP;
            mixed := set_byte(mixed, 0, get_byte(mixed, 0) & 63 | 128);
            RETURN cast(left(replace(first_id(moment)::text, '-', ''), 16) || encode(mixed, 'hex') AS uuid);
        END $$
    """)
    day = "local_day(e.occurred_at, w.zone)"
    note = f"""
        INSERT INTO uncounted (workspace_id, id, source_id, campaign_id, day, type, verdict, count, pairs, received_at)
        SELECT e.workspace_id, gen_random_uuid(), e.source_id, coalesce(e.campaign_id, {NONE}), {day}, e.type,
            e.verdict, count(*), string_agg(pair_hash(e.recipient_id, e.message_id) || uuid_send(e.recipient_id), '')
            FILTER (WHERE e.type IN ('opened', 'clicked') AND e.recipient_id IS NOT NULL), max(e.received_at)
        FROM {{EVENTS}} e JOIN workspace w ON w.workspace_id = e.workspace_id
        GROUP BY e.workspace_id, e.source_id, e.campaign_id, {day}, e.type, e.verdict
    """
    copied = COLUMNS.replace(" id,", " occurrence_id(source_id, key, occurred_at),", 1)
    store = f"INSERT INTO occurrence ({COLUMNS}) SELECT {copied} FROM event ON CONFLICT DO NOTHING"
    # Most of it before anybody has to wait; then, with writers held back by the trigger's lock, what came meanwhile.
    op.execute(store)
    op.execute(f"""
        CREATE FUNCTION store_occurrence() RETURNS trigger LANGUAGE plpgsql SET search_path = metrics, pg_temp AS $$
        DECLARE stored occurrence;
        BEGIN
            IF NEW.key IS NULL OR NEW.source_id IS NULL OR NEW.occurred_at IS NULL THEN
                RETURN NEW;  -- the table itself says what is wrong
            END IF;
            INSERT INTO occurrence ({COLUMNS})
            VALUES ({
        ", ".join(f"NEW.{each}" for each in COLUMNS.split(", ")).replace(
            "NEW.id,", "occurrence_id(NEW.source_id, NEW.key, NEW.occurred_at),", 1
        )
    })
            ON CONFLICT DO NOTHING RETURNING * INTO stored;
            IF NOT FOUND THEN
                RETURN NULL;  -- the new version has counted it
            END IF;
            {note.replace("{EVENTS}", "(SELECT stored.*)")};
            RETURN NEW;
        END $$
    """)
    op.execute("""
        CREATE TRIGGER store_occurrence BEFORE INSERT ON event FOR EACH ROW EXECUTE FUNCTION store_occurrence()
    """)
    op.execute(store)
    op.execute(note.replace("{EVENTS}", "occurrence"))


def downgrade() -> None:
    op.execute("DROP TRIGGER IF EXISTS store_occurrence ON event")
    for function in (
        "store_occurrence()", "occurrence_id(uuid, bytea, timestamptz)", "drop_occurrences(date)",
        "keep_occurrences(date, date)",
    ):  # fmt: skip
        op.execute(f"DROP FUNCTION {function}")
    for table in ("numbering", "pair", "reach", "counted", "uncounted", "occurrence"):
        op.drop_table(table)
    op.execute("DROP FUNCTION pair_hash(uuid, text)")
    op.execute("DROP FUNCTION first_id(timestamptz)")
