"""Decides how alerts are found, and that each point is told once."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from chassis.db import workspace_of
from chassis.fields import new_id
from services.metrics.alert.models import Alert, Finding
from services.metrics.alert.rules import AlertState, Found
from services.metrics.quality.rules import QualityGrade


async def active_alerts(session: AsyncSession) -> Sequence[Alert]:
    rows = await session.scalars(select(Alert).where(col(Alert.state) == AlertState.ACTIVE).order_by(col(Alert.id)))
    return rows.all()


async def count_alerts(session: AsyncSession) -> int:
    """How many there are, with others kept from making more until this transaction ends."""
    await session.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"), {"key": f"alerts:{workspace_of(session)}"}
    )
    return int(await session.scalar(text("SELECT count(*) FROM alert")) or 0)


async def add_finding(
    session: AsyncSession, alert: Alert, found: Found, version: int, quality: QualityGrade | None, now: datetime
) -> UUID | None:
    """Keeps a point; None where it is kept already."""
    kept: UUID | None = await session.scalar(
        text("""INSERT INTO finding (workspace_id, id, alert_id, start, value, "limit", expected, deviation,
                                     metric_version, quality, found_at)
                VALUES (:workspace, :id, :alert, :start, :value, :limit, :expected, :deviation, :version, :quality,
                        :now)
                ON CONFLICT (workspace_id, alert_id, start) DO NOTHING RETURNING id"""),
        {
            "workspace": workspace_of(session), "id": new_id(), "alert": alert.id, "start": found.start,
            "value": found.value, "limit": alert.value, "expected": found.expected, "deviation": found.deviation,
            "version": version, "quality": quality, "now": now,
        },
    )  # fmt: skip
    return kept


async def drop_alert(session: AsyncSession, alert: Alert) -> None:
    await session.execute(delete(Finding).where(col(Finding.alert_id) == alert.id))
    await session.delete(alert)
    await session.flush()


async def watch(session: AsyncSession) -> None:
    """Has the workspace's alerts looked at soon."""
    await session.execute(
        text("""INSERT INTO watch (workspace_id, changes, seen, looked_at) VALUES (:workspace, 1, 0, '-infinity')
                ON CONFLICT (workspace_id) DO UPDATE SET changes = watch.changes + 1"""),
        {"workspace": workspace_of(session)},
    )


async def stale_watches(session: AsyncSession, before: datetime) -> Sequence[UUID]:
    """Workspaces whose numbers changed since their alerts were looked at, and those that weren't since `before`
    (worker transaction)."""
    rows = await session.execute(
        text("SELECT workspace_id FROM watch WHERE changes > seen OR looked_at < :before"), {"before": before}
    )
    return rows.scalars().all()


async def changes_of(session: AsyncSession) -> int:
    """How often the workspace's numbers have changed. Read it before them: what commits later is seen by the next
    look, whatever any clock says."""
    return int(await session.scalar(text("SELECT changes FROM watch")) or 0)


async def note_look(session: AsyncSession, seen: int, now: datetime) -> None:
    """Alerts have seen so many changes. Last in its transaction: writers of numbers wait for this row."""
    await session.execute(
        text("UPDATE watch SET seen = :seen, looked_at = :now WHERE workspace_id = :workspace"),
        {"workspace": workspace_of(session), "seen": seen, "now": now},
    )
