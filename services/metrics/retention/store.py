"""Decides how what is kept too long is found."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from chassis.db import workspace_of
from chassis.fields import new_id
from services.metrics.retention.models import Retention, RetentionSet

# So many are removed in one transaction.
MOST = 10_000

_SET = text("""
    INSERT INTO retention (workspace_id, id, quarantine_days, withdrawn_consent_days)
    VALUES (:workspace, :id, :quarantine, :consent)
    ON CONFLICT (workspace_id) DO UPDATE SET quarantine_days = excluded.quarantine_days,
        withdrawn_consent_days = excluded.withdrawn_consent_days
""")


async def retention_of(session: AsyncSession) -> RetentionSet:
    """What a workspace has said, or what holds without a word."""
    row = (
        await session.scalars(select(Retention).where(col(Retention.workspace_id) == workspace_of(session)))
    ).one_or_none()
    if row is None:
        return RetentionSet()
    return RetentionSet(
        quarantine_days=row.quarantine_days, withdrawn_consent_days=row.withdrawn_consent_days,
    )  # fmt: skip


async def set_retention(session: AsyncSession, wanted: RetentionSet) -> None:
    await session.execute(
        _SET,
        {
            "workspace": workspace_of(session), "id": new_id(), "quarantine": wanted.quarantine_days,
            "consent": wanted.withdrawn_consent_days,
        },
    )  # fmt: skip


_STATEMENTS = {
    "quarantine": """
        DELETE FROM quarantine WHERE workspace_id = :workspace AND id IN (
            SELECT id FROM quarantine WHERE workspace_id = :workspace AND received_at < :before LIMIT :most
        )""",
    # All receipts of a purpose of somebody whose latest withdrew it.
    "withdrawn_consent": """
        DELETE FROM consent c WHERE c.workspace_id = :workspace AND c.id IN (
            SELECT old.id FROM consent old WHERE old.workspace_id = :workspace AND old.at < :before AND (
                SELECT NOT last.given AND last.at < :before FROM consent last
                WHERE last.workspace_id = :workspace AND last.address_hash = old.address_hash
                    AND last.purpose = old.purpose
                ORDER BY last.at DESC, last.given LIMIT 1
            ) LIMIT :most
        )""",
}
_NAMELESS = """
    FROM recipient r WHERE r.workspace_id = :workspace
        AND NOT EXISTS (SELECT FROM occurrence e WHERE e.workspace_id = :workspace AND e.recipient_id = r.id)
        AND NOT EXISTS (SELECT FROM consent c WHERE c.workspace_id = :workspace AND c.address_hash = r.address_hash)
        AND NOT EXISTS (SELECT FROM suppression s WHERE s.workspace_id = :workspace
            AND s.address_hash = r.address_hash)
"""


async def remove_old(session: AsyncSession, now: datetime) -> int:
    """Removes what is kept too long, so much at most; how many rows that were."""
    wanted, removed = await retention_of(session), 0
    for kind, statement in _STATEMENTS.items():
        before = now - timedelta(days=getattr(wanted, f"{kind}_days"))
        bound = {"workspace": workspace_of(session), "before": before, "most": MOST}
        rows = await session.execute(text(f"WITH gone AS ({statement} RETURNING 1) SELECT count(*) FROM gone"), bound)
        removed += int(rows.scalar_one())
    return removed


async def any_nameless(session: AsyncSession) -> bool:
    """Whether there is an address that nothing names. Counted, as EXISTS would be planned to find one soon: where there
    is none, that looked through all events for each address."""
    found = await session.scalar(text(f"SELECT count(*) {_NAMELESS}"), {"workspace": workspace_of(session)})
    return bool(found)


async def remove_nameless(session: AsyncSession) -> None:
    """Removes addresses that nothing names. Seize the numbers before: somebody may just be made."""
    await session.execute(text(f"DELETE {_NAMELESS}"), {"workspace": workspace_of(session)})


async def every_workspace(session: AsyncSession) -> Sequence[UUID]:
    """All that are known here (worker transaction)."""
    return (await session.execute(text("SELECT workspace_id FROM workspace"))).scalars().all()
