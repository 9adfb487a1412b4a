"""Software spend: people, vendors, contracts with their decisions, obligations and how they were met, seats."""

import sqlalchemy as sa
from alembic import op

from chassis.migrate import INSTANT, key_columns, login_role, tenant_table, worker_may

revision = "budget_0004"
down_revision = "budget_0003"
branch_labels = None
depends_on = None

TABLES = ("person", "vendor", "contract", "contract_decision", "obligation", "fulfilment", "seat")
# Of each what lists sort, filter and group by.
INDEXES = {
    "vendor": ("name", "status", "currency", "created_at"),
    "contract": (
        "name", "category", "department", "state", "notice_deadline", "term_end", "created_at", "vendor_id", "line_id",
        "campaign_id",
    ),
    "contract_decision": ("contract_id", "decided_at", "kind"),
    "obligation": ("vendor_id", "contract_id", "owner", "due", "is_met", "created_at"),
    "fulfilment": ("obligation_id", "met_at"),
    "seat": ("contract_id", "department", "active_on", "assigned_on", "is_released"),
}  # fmt: skip
STATES = "'active','notice_window','renewed','terminated','lapsed'"
KINDS = "'renew','terminate','renegotiate'"


def names(table: str, column: str, other: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["workspace_id", column], [f"{other}.workspace_id", f"{other}.id"], name=f"{table}_workspace_id_{column}_fkey"
    )


def upgrade() -> None:
    op.create_table(
        "person",
        *key_columns(),
        sa.Column("name", sa.String),
        sa.Column("address", sa.String),
        sa.Column("address_hash", sa.LargeBinary),
        sa.UniqueConstraint("workspace_id", "address_hash", name="person_workspace_id_address_hash_key"),
    )
    op.create_table(
        "vendor",
        *key_columns(),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("status", sa.String(40), nullable=False),
        sa.Column("contact_id", sa.Uuid),
        sa.Column("payment_days", sa.Integer, nullable=False),
        sa.Column("currency", sa.String, nullable=False),
        sa.Column("notes", sa.String, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("version", sa.Integer, nullable=False, server_default="1"),
        sa.UniqueConstraint("workspace_id", "name", name="vendor_workspace_id_name_key"),
        names("vendor", "contact_id", "person"),
        sa.CheckConstraint("status IN ('prospect','active','blocked','former')", name="vendor_status_check"),
    )
    op.create_index("vendor_workspace_id_contact_id_idx", "vendor", ["workspace_id", "contact_id"])
    op.create_table(
        "contract",
        *key_columns(),
        sa.Column("vendor_id", sa.Uuid, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("category", sa.String, nullable=False),
        sa.Column("department", sa.String, nullable=False),
        sa.Column("line_id", sa.Uuid),
        sa.Column("campaign_id", sa.Uuid),
        sa.Column("currency", sa.String, nullable=False),
        sa.Column("cost_minor", sa.BigInteger, nullable=False),
        sa.Column("renewal_minor", sa.BigInteger),
        sa.Column("seat_count", sa.Integer),
        sa.Column("term_start", sa.Date, nullable=False),
        sa.Column("term_end", sa.Date, nullable=False),
        sa.Column("turns_on", sa.Integer, nullable=False),
        sa.Column("auto_renews", sa.Boolean, nullable=False),
        sa.Column("renewal_months", sa.Integer, nullable=False),
        sa.Column("notice_count", sa.Integer, nullable=False),
        sa.Column("notice_unit", sa.String(40), nullable=False),
        sa.Column("lead_days", sa.Integer, nullable=False),
        sa.Column("window_opens", sa.Date, nullable=False),
        sa.Column("notice_deadline", sa.Date, nullable=False),
        sa.Column("state", sa.String(40), nullable=False),
        sa.Column("due_on", sa.Date),
        sa.Column("missed_at", INSTANT),
        sa.Column("decision", sa.String(40)),
        sa.Column("by_default", sa.Boolean, nullable=False),
        sa.Column("decision_reason", sa.String),
        sa.Column("decided_by", sa.String),
        sa.Column("decided_at", INSTANT),
        sa.Column("next_minor", sa.BigInteger),
        sa.Column("next_seat_count", sa.Integer),
        sa.Column("held_line_id", sa.Uuid),
        sa.Column("held_minor", sa.BigInteger, nullable=False),
        sa.Column("short_minor", sa.BigInteger),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("version", sa.Integer, nullable=False, server_default="1"),
        names("contract", "vendor_id", "vendor"),
        names("contract", "line_id", "line"),
        names("contract", "held_line_id", "line"),
        sa.CheckConstraint("term_end > term_start", name="contract_term_check"),
        sa.CheckConstraint("(held_line_id IS NULL) = (held_minor = 0)", name="contract_held_check"),
        sa.CheckConstraint("notice_unit IN ('days','months')", name="contract_notice_unit_check"),
        sa.CheckConstraint(f"state IN ({STATES})", name="contract_state_check"),
        sa.CheckConstraint(f"decision IN ({KINDS})", name="contract_decision_check"),
    )
    op.create_index("contract_due_on_idx", "contract", ["due_on"], postgresql_where=sa.text("due_on IS NOT NULL"))
    op.create_table(
        "contract_decision",
        *key_columns(),
        sa.Column("contract_id", sa.Uuid, nullable=False),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("by_default", sa.Boolean, nullable=False),
        sa.Column("reason", sa.String, nullable=False),
        sa.Column("decided_by", sa.String, nullable=False),
        sa.Column("decided_at", INSTANT, nullable=False),
        sa.Column("term_start", sa.Date, nullable=False),
        sa.Column("term_end", sa.Date, nullable=False),
        sa.Column("currency", sa.String, nullable=False),
        sa.Column("cost_minor", sa.BigInteger, nullable=False),
        sa.Column("next_minor", sa.BigInteger),
        sa.Column("idle_seats", sa.Integer),
        sa.Column("wasted_minor", sa.BigInteger),
        names("contract_decision", "contract_id", "contract"),
        sa.CheckConstraint(f"kind IN ({KINDS})", name="contract_decision_kind_check"),
    )
    op.create_table(
        "obligation",
        *key_columns(),
        sa.Column("vendor_id", sa.Uuid, nullable=False),
        sa.Column("contract_id", sa.Uuid),
        sa.Column("words", sa.String, nullable=False),
        sa.Column("owner", sa.String, nullable=False),
        sa.Column("first_due", sa.Date, nullable=False),
        sa.Column("every_months", sa.Integer),
        sa.Column("times_met", sa.Integer, nullable=False),
        sa.Column("due", sa.Date, nullable=False),
        sa.Column("is_met", sa.Boolean, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("version", sa.Integer, nullable=False, server_default="1"),
        names("obligation", "vendor_id", "vendor"),
        names("obligation", "contract_id", "contract"),
    )
    op.create_table(
        "fulfilment",
        *key_columns(),
        sa.Column("obligation_id", sa.Uuid, nullable=False),
        sa.Column("due", sa.Date, nullable=False),
        sa.Column("met_by", sa.String, nullable=False),
        sa.Column("met_at", INSTANT, nullable=False),
        sa.Column("evidence", sa.String, nullable=False),
        sa.Column("words", sa.String, nullable=False),
        names("fulfilment", "obligation_id", "obligation"),
    )
    op.create_table(
        "seat",
        *key_columns(),
        sa.Column("contract_id", sa.Uuid, nullable=False),
        sa.Column("person_id", sa.Uuid, nullable=False),
        sa.Column("department", sa.String, nullable=False),
        sa.Column("assigned_on", sa.Date, nullable=False),
        sa.Column("last_used_on", sa.Date),
        sa.Column("active_on", sa.Date, nullable=False),
        sa.Column("is_released", sa.Boolean, nullable=False),
        sa.Column("released_on", sa.Date),
        sa.Column("version", sa.Integer, nullable=False, server_default="1"),
        names("seat", "contract_id", "contract"),
        names("seat", "person_id", "person"),
    )
    op.create_index(
        "seat_workspace_id_contract_id_person_id_key", "seat", ["workspace_id", "contract_id", "person_id"],
        unique=True, postgresql_where=sa.text("NOT is_released"),
    )  # fmt: skip
    op.create_index("seat_workspace_id_person_id_idx", "seat", ["workspace_id", "person_id"])
    for table, columns in INDEXES.items():
        for column in columns:
            op.create_index(f"{table}_workspace_id_{column}_id_idx", table, ["workspace_id", column, "id"])
    for table in TABLES:
        tenant_table(table)
    worker_may("contract", "SELECT (workspace_id, id, due_on)")
    # What was decided and what was met stays on record, whatever the code does.
    for table in ("contract_decision", "fulfilment"):
        op.execute(f'REVOKE UPDATE, DELETE ON {table} FROM "{login_role()}"')


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table)
