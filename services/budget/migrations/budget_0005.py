"""Rates; a ledger that balances and knows each line's past by index; requests, invoices, transfers."""

import sqlalchemy as sa
from alembic import op

from chassis.migrate import INSTANT, key_columns, tenant_table, worker_may

revision = "budget_0005"
down_revision = "budget_0004"
branch_labels = None
depends_on = None

POTS = ("allotted", "transferred", "reserved", "committed", "actual", "fx")
NEW = ("transferred", "fx")
ADDED = ("available", "seq", *(f"after_{pot}" for pot in POTS), "original_minor")


def amount(name: str, **options: object) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, **options)  # type: ignore[arg-type]


def upgrade() -> None:
    _rates()
    _line_and_balance()
    _entry()
    _hold()
    _settings()
    _request()
    _invoice()
    _transfer()
    _fiscal()


def _rates() -> None:
    op.create_table(
        "rate",
        *key_columns(),
        sa.Column("currency", sa.String, nullable=False),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("per_euro", sa.Numeric, nullable=False),
        sa.Column("imported_by", sa.String, nullable=False),
        sa.Column("imported_at", INSTANT, nullable=False),
        sa.UniqueConstraint("workspace_id", "currency", "day", name="rate_workspace_id_currency_day_key"),
    )
    for column in ("currency", "day"):
        op.create_index(f"rate_workspace_id_{column}_id_idx", "rate", ["workspace_id", column, "id"])
    tenant_table("rate")


def _line_and_balance() -> None:
    op.add_column("line", sa.Column("low_percent", sa.Integer, nullable=False, server_default="10"))
    for pot in NEW:
        op.add_column("balance", amount(pot, nullable=False, server_default="0"))
    op.add_column("balance", amount("entries", nullable=False, server_default="0"))
    op.add_column("balance", sa.Column("stops", sa.Boolean, nullable=False, server_default="true"))
    op.add_column("balance", sa.Column("low_percent", sa.Integer, nullable=False, server_default="10"))
    op.add_column("balance", sa.Column("closed_until", sa.Date))
    op.create_table(
        "closing",
        *key_columns(),
        sa.Column("closed_until", sa.Date),
        sa.UniqueConstraint("workspace_id", name="closing_workspace_id_key"),
    )
    tenant_table("closing")


def _entry() -> None:
    for pot in NEW:
        op.add_column("entry", amount(pot, nullable=False, server_default="0"))
    for name in ADDED:
        op.add_column("entry", amount(name))
    op.add_column("entry", sa.Column("original_currency", sa.String))
    op.add_column("entry", sa.Column("rate", sa.Numeric))
    op.add_column("entry", sa.Column("rate_on", sa.Date))
    op.add_column("entry", sa.Column("booked_on", sa.Date))
    for name in ("movement_id", "subject_id", "reverses"):
        op.add_column("entry", sa.Column(name, sa.Uuid))
    # Entries are there already: each learns its place and what was on the line after it. From here on, none changes.
    op.execute(f"""
        UPDATE entry SET seq = run.seq, available = run.available, {", ".join(f"after_{p} = run.{p}" for p in POTS)}
        FROM (
            SELECT workspace_id, id, row_number() OVER line AS seq,
                allotted + transferred - reserved - committed - actual AS available,
                {", ".join(f"sum({p}) OVER line AS {p}" for p in POTS)}
            FROM entry WINDOW line AS (PARTITION BY workspace_id, line_id ORDER BY recorded_at, id)
        ) AS run
        WHERE (entry.workspace_id, entry.id) = (run.workspace_id, run.id)
    """)  # noqa: S608
    op.execute("""
        UPDATE balance SET entries = (
            SELECT count(*) FROM entry WHERE (workspace_id, line_id) = (balance.workspace_id, balance.id)
        ), stops = (
            SELECT policy = 'stop' FROM line WHERE (line.workspace_id, line.id) = (balance.workspace_id, balance.id))
    """)
    _old_writers()
    op.create_check_constraint(
        "entry_balanced_check", "entry", "allotted + transferred = available + reserved + committed + actual"
    )
    op.create_check_constraint(
        "entry_fx_check", "entry", "fx = CASE kind WHEN 'revalue' THEN reserved + committed + actual ELSE 0 END"
    )
    op.create_index("entry_workspace_id_line_id_seq_idx", "entry", ["workspace_id", "line_id", "seq"], unique=True)
    for column in ("line_id", "subject_id", "movement_id", "kind", "recorded_at"):
        op.create_index(f"entry_workspace_id_{column}_id_idx", "entry", ["workspace_id", column, "id"])
    op.create_index(
        "entry_workspace_id_reverses_idx", "entry", ["workspace_id", "reverses"], unique=True,
        postgresql_where=sa.text("reverses IS NOT NULL"),
    )  # fmt: skip


def _old_writers() -> None:
    """While the version before still serves, its entries learn their place here, and its lines their policy."""
    op.execute(f"""
        CREATE FUNCTION entry_place() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE last entry%ROWTYPE;
        BEGIN
            UPDATE balance SET entries = entries + 1 WHERE (workspace_id, id) = (NEW.workspace_id, NEW.line_id)
                RETURNING entries INTO NEW.seq;
            SELECT * INTO last FROM entry WHERE (workspace_id, line_id) = (NEW.workspace_id, NEW.line_id)
                ORDER BY seq DESC LIMIT 1;
            NEW.available = NEW.allotted + NEW.transferred - NEW.reserved - NEW.committed - NEW.actual;
            {" ".join(f"NEW.after_{p} = coalesce(last.after_{p}, 0) + NEW.{p};" for p in POTS)}
            RETURN NEW;
        END $$
    """)  # noqa: S608
    op.execute("""
        CREATE TRIGGER entry_place BEFORE INSERT ON entry FOR EACH ROW WHEN (NEW.seq IS NULL)
            EXECUTE FUNCTION entry_place()
    """)
    op.execute("""
        CREATE FUNCTION balance_policy() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            UPDATE balance SET stops = NEW.policy = 'stop' WHERE (workspace_id, id) = (NEW.workspace_id, NEW.id)
                AND stops <> (NEW.policy = 'stop');
            RETURN NULL;
        END $$
    """)
    op.execute("""
        CREATE TRIGGER balance_policy AFTER UPDATE OF policy ON line FOR EACH ROW EXECUTE FUNCTION balance_policy()
    """)


def _hold() -> None:
    op.create_table(
        "hold",
        *key_columns(),
        sa.Column("line_id", sa.Uuid, nullable=False),
        sa.Column("subject_id", sa.Uuid, nullable=False),
        sa.Column("state", sa.String(40), nullable=False),
        sa.Column("currency", sa.String, nullable=False),
        amount("original", nullable=False),
        amount("amount", nullable=False),
        sa.Column("rate", sa.Numeric, nullable=False),
        sa.Column("rate_on", sa.Date, nullable=False),
        sa.Column("held_at", INSTANT, nullable=False),
        sa.Column("resolved_at", INSTANT),
        sa.ForeignKeyConstraint(
            ["workspace_id", "line_id"], ["line.workspace_id", "line.id"], name="hold_workspace_id_line_id_fkey"
        ),
        sa.CheckConstraint("state IN ('reserved','committed','spent','released','expired')", name="hold_state_check"),
        sa.CheckConstraint("original >= 0 AND amount >= 0", name="hold_left_check"),
    )
    op.create_index("hold_workspace_id_subject_id_id_idx", "hold", ["workspace_id", "subject_id", "id"])
    op.create_index(
        "hold_workspace_id_line_id_id_idx", "hold", ["workspace_id", "line_id", "id"],
        postgresql_where=sa.text("state IN ('reserved','committed')"),
    )  # fmt: skip
    tenant_table("hold")


def named(table: str, *columns: str, to: str) -> sa.ForeignKeyConstraint:
    """A reference within the workspace."""
    name = f"{table}_workspace_id_{columns[0]}_fkey"
    return sa.ForeignKeyConstraint(["workspace_id", *columns], [f"{to}.workspace_id", f"{to}.id"], name=name)


def one_of(table: str, column: str, *values: str) -> sa.CheckConstraint:
    listed = ",".join(f"'{value}'" for value in values)
    return sa.CheckConstraint(f"{column} IN ({listed})", name=f"{table}_{column}_check")


def version() -> sa.Column[int]:
    return sa.Column("version", sa.Integer, nullable=False, server_default="1")


def index(table: str, *columns: str) -> None:
    for column in columns:
        op.create_index(f"{table}_workspace_id_{column}_id_idx", table, ["workspace_id", column, "id"])


def _settings() -> None:
    op.create_table(
        "policy",
        *key_columns(),
        sa.Column("tolerance_percent", sa.Numeric, nullable=False),
        sa.Column("reservation_days", sa.Integer, nullable=False),
        sa.Column("matching", sa.String(40), nullable=False),
        sa.Column("reserve_line_id", sa.Uuid),
        version(),
        sa.UniqueConstraint("workspace_id", name="policy_workspace_id_key"),
        named("policy", "reserve_line_id", to="line"),
        one_of("policy", "matching", "two_way", "three_way"),
    )
    op.create_table(
        "band",
        *key_columns(),
        sa.Column("name", sa.String, nullable=False),
        amount("above", nullable=False),
        sa.Column("currency", sa.String, nullable=False),
        sa.Column("department", sa.String),
        sa.Column("category", sa.String),
        sa.Column("approvers", sa.ARRAY(sa.Text), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        version(),
    )
    index("band", "department", "above")
    op.create_table(
        "delegation",
        *key_columns(),
        sa.Column("absent", sa.String, nullable=False),
        sa.Column("stand_in", sa.String, nullable=False),
        sa.Column("start", sa.Date, nullable=False),
        sa.Column("finish", sa.Date, nullable=False),
        sa.Column("created_by", sa.String, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.CheckConstraint("finish > start", name="delegation_days_check"),
    )
    index("delegation", "absent", "stand_in")
    op.create_table(
        "counter",
        *key_columns(),
        sa.Column("name", sa.String, nullable=False),
        amount("value", nullable=False),
        sa.UniqueConstraint("workspace_id", "name", name="counter_workspace_id_name_key"),
    )
    for table in ("policy", "band", "delegation", "counter"):
        tenant_table(table)


def _request() -> None:
    instants = ("submitted_at", "waiting_since", "decided_at", "expires_at", "committed_at", "ended_at")
    op.create_table(
        "request",
        *key_columns(),
        sa.Column("title", sa.String, nullable=False),
        sa.Column("line_id", sa.Uuid, nullable=False),
        sa.Column("currency", sa.String, nullable=False),
        amount("amount", nullable=False),
        amount("worth"),
        sa.Column("vendor", sa.String),
        sa.Column("category", sa.String),
        sa.Column("department", sa.String, nullable=False),
        sa.Column("campaign_id", sa.Uuid),
        sa.Column("itemised", sa.Boolean, nullable=False),
        sa.Column("state", sa.String(40), nullable=False),
        sa.Column("reason", sa.String),
        sa.Column("requested_by", sa.String, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        *(sa.Column(name, INSTANT) for name in instants),
        sa.Column("submitted_by", sa.String),
        sa.Column("layers_done", sa.Integer, nullable=False),
        sa.Column("decided_by", sa.String),
        amount("decision_seconds"),
        sa.Column("po_number", sa.String),
        amount("received", nullable=False),
        amount("invoiced", nullable=False),
        version(),
        named("request", "line_id", to="line"),
        sa.UniqueConstraint("workspace_id", "po_number", name="request_workspace_id_po_number_key"),
        sa.CheckConstraint("invoiced >= 0 AND received >= 0", name="request_sums_check"),
        one_of("request", "state", "draft", "submitted", "approved", "committed", "part_invoiced", "closed", "rejected",
               "expired", "voided"),
    )  # fmt: skip
    index("request", "state", "line_id", "campaign_id", "department", "category", "requested_by", "vendor",
          "created_at", "submitted_at", "decided_at", "amount")  # fmt: skip
    op.create_index("request_expires_at_idx", "request", ["expires_at"], postgresql_where=sa.text("state = 'approved'"))
    op.create_table(
        "request_item",
        *key_columns(),
        sa.Column("request_id", sa.Uuid, nullable=False),
        sa.Column("line_id", sa.Uuid, nullable=False),
        amount("amount", nullable=False),
        sa.Column("description", sa.String, nullable=False),
        sa.Column("start", sa.Date),
        sa.Column("finish", sa.Date),
        named("request_item", "request_id", to="request"),
        named("request_item", "line_id", to="line"),
    )
    index("request_item", "request_id", "line_id")
    op.create_table(
        "decision",
        *key_columns(),
        sa.Column("request_id", sa.Uuid, nullable=False),
        sa.Column("layer", sa.Integer, nullable=False),
        sa.Column("band_id", sa.Uuid),
        sa.Column("band_name", sa.String),
        sa.Column("verdict", sa.String(40), nullable=False),
        sa.Column("decided_by", sa.String, nullable=False),
        sa.Column("in_place_of", sa.String),
        sa.Column("waited_since", INSTANT, nullable=False),
        sa.Column("decided_at", INSTANT, nullable=False),
        amount("seconds", nullable=False),
        sa.Column("reason", sa.String),
        named("decision", "request_id", to="request"),
        one_of("decision", "verdict", "approved", "rejected"),
    )
    index("decision", "request_id", "decided_by", "decided_at")
    for table in ("request", "request_item", "decision"):
        tenant_table(table)
    worker_may("request", "SELECT (workspace_id, id, state, expires_at)")


def _invoice() -> None:
    op.create_table(
        "invoice",
        *key_columns(),
        sa.Column("line_id", sa.Uuid, nullable=False),
        sa.Column("request_id", sa.Uuid),
        sa.Column("vendor", sa.String, nullable=False),
        sa.Column("number", sa.String, nullable=False),
        sa.Column("currency", sa.String, nullable=False),
        amount("amount", nullable=False),
        sa.Column("dated", sa.Date, nullable=False),
        sa.Column("state", sa.String(40), nullable=False),
        sa.Column("problem", sa.String(40)),
        sa.Column("reason", sa.String),
        sa.Column("accepted_by", sa.String),
        sa.Column("received_by", sa.String, nullable=False),
        sa.Column("received_at", INSTANT, nullable=False),
        sa.Column("posted_by", sa.String),
        sa.Column("posted_at", INSTANT),
        sa.Column("ended_at", INSTANT),
        *(amount(name, nullable=False) for name in ("spent", "worth", "covered")),
        version(),
        named("invoice", "line_id", to="line"),
        named("invoice", "request_id", to="request"),
        sa.UniqueConstraint("workspace_id", "vendor", "number", name="invoice_workspace_id_vendor_number_key"),
        one_of("invoice", "state", "received", "matched", "exception", "posted", "reversed", "rejected"),
        one_of("invoice", "problem", "not_ordered", "other_vendor", "other_currency", "other_line", "over_tolerance",
               "not_received", "several_orders", "does_not_fit", "period_closed", "no_rate"),
    )  # fmt: skip
    index("invoice", "state", "problem", "vendor", "dated", "line_id", "request_id", "received_at")
    tenant_table("invoice")


def _transfer() -> None:
    op.create_table(
        "transfer",
        *key_columns(),
        sa.Column("from_line_id", sa.Uuid, nullable=False),
        sa.Column("to_line_id", sa.Uuid, nullable=False),
        sa.Column("currency", sa.String, nullable=False),
        amount("amount", nullable=False),
        sa.Column("reason", sa.String, nullable=False),
        sa.Column("state", sa.String(40), nullable=False),
        sa.Column("proposed_by", sa.String, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("decided_by", sa.String),
        sa.Column("decided_at", INSTANT),
        sa.Column("rate", sa.Numeric),
        sa.Column("rate_on", sa.Date),
        version(),
        named("transfer", "from_line_id", to="line"),
        named("transfer", "to_line_id", to="line"),
        sa.CheckConstraint("from_line_id <> to_line_id", name="transfer_lines_check"),
        one_of("transfer", "state", "proposed", "approved", "rejected"),
    )
    index("transfer", "state", "from_line_id", "to_line_id", "created_at")
    tenant_table("transfer")


def _fiscal() -> None:
    op.create_table(
        "calendar",
        *key_columns(),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("scheme", sa.String(40), nullable=False),
        sa.Column("start_month", sa.Integer, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        one_of("calendar", "scheme", "months", "quarters", "halves", "4-4-5", "4-5-4", "5-4-4"),
    )
    op.create_table(
        "period",
        *key_columns(),
        sa.Column("calendar_id", sa.Uuid, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("year", sa.Integer, nullable=False),
        sa.Column("start", sa.Date, nullable=False),
        sa.Column("finish", sa.Date, nullable=False),
        sa.Column("state", sa.String(40), nullable=False),
        sa.Column("closed_after", sa.Date),
        sa.Column("changed_by", sa.String),
        sa.Column("changed_at", INSTANT),
        version(),
        named("period", "calendar_id", to="calendar"),
        sa.UniqueConstraint("workspace_id", "calendar_id", "start", name="period_workspace_id_calendar_id_start_key"),
        sa.CheckConstraint("finish > start", name="period_days_check"),
        one_of("period", "state", "open", "closed"),
    )
    index("period", "calendar_id", "year", "start", "state")
    for table in ("calendar", "period"):
        tenant_table(table)


def downgrade() -> None:
    for name, table in (("entry_place", "entry"), ("balance_policy", "line")):
        op.execute(f"DROP TRIGGER {name} ON {table}")
        op.execute(f"DROP FUNCTION {name}()")
    later = (
        "period",
        "calendar",
        "transfer",
        "invoice",
        "decision",
        "request_item",
        "request",
        "counter",
        "delegation",
        "band",
        "policy",
    )
    for table in (*later, "hold", "closing", "rate"):
        op.drop_table(table)
    told = ("original_currency", "rate", "rate_on", "booked_on", "movement_id", "subject_id", "reverses")
    for name in (*NEW, *ADDED, *told):
        op.drop_column("entry", name)
    for name in (*NEW, "entries", "stops", "low_percent", "closed_until"):
        op.drop_column("balance", name)
    op.drop_column("line", "low_percent")
