"""Work in place of job: one queue of periodic and deferred jobs; the trace in which an event happened."""

import sqlalchemy as sa
from alembic import op

from chassis.migrate import INSTANT, tenant_table, worker_may

revision = "chassis_0003"
down_revision = "chassis_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("outbox", sa.Column("trace", sa.Text))
    op.create_table(
        "work",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("workspace_id", sa.Uuid),
        sa.Column("subject", sa.Uuid),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("changed_at", INSTANT, nullable=False),
        sa.Column("due_at", INSTANT),
        sa.Column("started_at", INSTANT),
        sa.Column("finished_at", INSTANT),
        sa.Column("succeeded_at", INSTANT),
        sa.Column("last_error", sa.Text),
        sa.Column("trace", sa.Text),
        sa.CheckConstraint("state IN ('waiting','running','done','failed')", name="work_state_check"),
    )
    op.create_index(
        "work_periodic_key", "work", ["name"], unique=True, postgresql_where=sa.text("workspace_id IS NULL")
    )
    op.create_index("work_due_idx", "work", ["due_at"], postgresql_where=sa.text("due_at IS NOT NULL"))
    op.create_index("work_kept_idx", "work", ["finished_at"], postgresql_where=sa.text("due_at IS NULL"))
    op.create_index("work_undone_idx", "work", ["state", "name"], postgresql_where=sa.text("state <> 'done'"))
    for column in ("name", "state", "created_at", "changed_at"):
        op.create_index(f"work_workspace_id_{column}_id_idx", "work", ["workspace_id", column, "id"])
    tenant_table("work")
    # Periodic jobs are nobody's: every workspace's administrators see them, and the worker role alone writes them.
    op.execute("CREATE POLICY periodic ON work FOR SELECT USING (workspace_id IS NULL)")
    worker_may("work", "SELECT, INSERT, UPDATE, DELETE")
    # Code of before goes on answering without it, and leaves the jobs to the code that knows the queue.
    op.drop_table("job")


def downgrade() -> None:
    op.create_table(
        "job",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("due_at", INSTANT, nullable=False),
        sa.Column("started_at", INSTANT),
        sa.Column("finished_at", INSTANT),
        sa.Column("last_error", sa.Text),
    )
    op.execute("ALTER TABLE job ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE job FORCE ROW LEVEL SECURITY")
    worker_may("job", "SELECT, INSERT, UPDATE")
    op.drop_table("work")
    op.drop_column("outbox", "trace")
