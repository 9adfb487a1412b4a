"""Imports of other systems' files: how they are read, what came, what became of each row."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from chassis.migrate import INSTANT, key_columns, tenant_table

revision = "budget_0007"
down_revision = "budget_0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _mapping()
    _statement()
    _part()
    _row()


def _one_of(table: str, column: str, *values: str) -> sa.CheckConstraint:
    listed = ",".join(f"'{value}'" for value in values)
    return sa.CheckConstraint(f"{column} IN ({listed})", name=f"{table}_{column}_check")


def _index(table: str, *columns: str) -> None:
    op.create_index(f"{table}_workspace_id_{'_'.join(columns)}_id_idx", table, ["workspace_id", *columns, "id"])


def _mapping() -> None:
    op.create_table(
        "statement_mapping",
        *key_columns(),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("columns", JSONB, nullable=False),
        sa.Column("sheet", sa.String),
        sa.Column("date_order", sa.String(40)),
        sa.Column("decimal_mark", sa.String(40), nullable=False),
        sa.Column("spending", sa.String(40), nullable=False),
        sa.Column("currency", sa.String),
        sa.Column("line_id", sa.Uuid),
        sa.Column("lines", JSONB, nullable=False),
        sa.Column("created_by", sa.String, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("version", sa.Integer, nullable=False, server_default="1"),
        sa.ForeignKeyConstraint(["workspace_id", "line_id"], ["line.workspace_id", "line.id"]),
        sa.UniqueConstraint("workspace_id", "name"),
        _one_of("statement_mapping", "kind", "bank", "card", "erp", "ads"),
        _one_of("statement_mapping", "date_order", "dmy", "mdy", "ymd"),
        _one_of("statement_mapping", "decimal_mark", "point", "comma"),
        _one_of("statement_mapping", "spending", "positive", "negative"),
    )
    for column in ("name", "kind", "line_id", "created_at"):
        _index("statement_mapping", column)
    tenant_table("statement_mapping")


def _statement() -> None:
    counts = ("position", "chunks", "rows", "seen", "posted", "exceptions", "duplicates", "bad", "undone")
    op.create_table(
        "statement",
        *key_columns(),
        sa.Column("mapping_id", sa.Uuid, nullable=False),
        sa.Column("filename", sa.String, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.String, nullable=False),
        sa.Column("reading", JSONB, nullable=False),
        sa.Column("dry_run", sa.Boolean, nullable=False),
        sa.Column("state", sa.String(40), nullable=False),
        sa.Column("problem", sa.String),
        sa.Column("message", sa.String),
        *(sa.Column(name, sa.Integer, nullable=False) for name in counts),
        sa.Column("uploaded_by", sa.String, nullable=False),
        sa.Column("uploaded_at", INSTANT, nullable=False),
        sa.Column("posted_by", sa.String),
        sa.Column("finished_at", INSTANT),
        sa.Column("undone_by", sa.String),
        sa.Column("reason", sa.String),
        sa.Column("version", sa.Integer, nullable=False, server_default="1"),
        sa.ForeignKeyConstraint(
            ["workspace_id", "mapping_id"], ["statement_mapping.workspace_id", "statement_mapping.id"]
        ),
        _one_of("statement", "state", "pending", "running", "done", "failed", "undoing", "undone"),
    )
    for column in ("mapping_id", "state", "sha256", "uploaded_at"):
        _index("statement", column)
    tenant_table("statement")


def _part() -> None:
    op.create_table(
        "statement_part",
        *key_columns(),
        sa.Column("statement_id", sa.Uuid, nullable=False),
        sa.Column("place", sa.Integer, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sa.ForeignKeyConstraint(["workspace_id", "statement_id"], ["statement.workspace_id", "statement.id"]),
        sa.UniqueConstraint("workspace_id", "statement_id", "place"),
    )
    tenant_table("statement_part")


def _row() -> None:
    op.create_table(
        "statement_row",
        *key_columns(),
        sa.Column("statement_id", sa.Uuid, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("outcome", sa.String(40), nullable=False),
        *(sa.Column(name, sa.String) for name in ("field", "code", "message")),
        sa.Column("dated", sa.Date),
        sa.Column("currency", sa.String),
        sa.Column("minor", sa.BigInteger),
        *(sa.Column(name, sa.String) for name in ("vendor", "reference", "description", "po_number", "line")),
        sa.Column("line_id", sa.Uuid),
        sa.Column("invoice_id", sa.Uuid),
        sa.Column("duplicate_of", sa.Uuid),
        sa.Column("claim", sa.LargeBinary),
        sa.Column("spent", sa.BigInteger),
        sa.Column("worth", sa.BigInteger),
        sa.ForeignKeyConstraint(["workspace_id", "statement_id"], ["statement.workspace_id", "statement.id"]),
        sa.ForeignKeyConstraint(["workspace_id", "line_id"], ["line.workspace_id", "line.id"]),
        sa.ForeignKeyConstraint(["workspace_id", "invoice_id"], ["invoice.workspace_id", "invoice.id"]),
        sa.UniqueConstraint("workspace_id", "claim"),
        _one_of("statement_row", "outcome", "posted", "exception", "duplicate", "bad", "undone"),
    )
    op.create_index(
        "statement_row_workspace_id_statement_id_number_idx", "statement_row",
        ["workspace_id", "statement_id", "number"], unique=True,
    )  # fmt: skip
    for columns in (("statement_id",), ("line_id",), ("outcome",), ("invoice_id",), ("statement_id", "outcome")):
        _index("statement_row", *columns)
    tenant_table("statement_row")


def downgrade() -> None:
    for table in ("statement_row", "statement_part", "statement", "statement_mapping"):
        op.drop_table(table)
