"""Rates; a ledger that balances over its accounts, with what is on each after every entry; holds, and closed days."""

import sqlalchemy as sa
from alembic import op

from chassis.migrate import INSTANT, key_columns, tenant_table

revision = "budget_0004"
down_revision = "budget_0003"
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


def downgrade() -> None:
    for name, table in (("entry_place", "entry"), ("balance_policy", "line")):
        op.execute(f"DROP TRIGGER {name} ON {table}")
        op.execute(f"DROP FUNCTION {name}()")
    for table in ("hold", "closing", "rate"):
        op.drop_table(table)
    told = ("original_currency", "rate", "rate_on", "booked_on", "movement_id", "subject_id", "reverses")
    for name in (*NEW, *ADDED, *told):
        op.drop_column("entry", name)
    for name in (*NEW, "entries", "stops", "low_percent", "closed_until"):
        op.drop_column("balance", name)
    op.drop_column("line", "low_percent")
