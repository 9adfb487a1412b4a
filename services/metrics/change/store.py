"""Decides when others are told that numbers changed: at once, unless they still have the last news before them."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import workspace_of
from chassis.outbox import record
from services.metrics.change.models import Change, NumbersChanged


async def note_change(session: AsyncSession, changed: Change | None, now: datetime) -> None:
    """Adds a change to what is to be told, and tells it in this transaction where nothing of the kind waits.

    While one waits to be delivered the change stays noted here, and `tell_changes` passes it on later. To leave it out
    because "one is on its way" would be wrong: that one may have been read already. The note can't be lost, and its row
    makes concurrent writers queue, so that a workspace never has two waiting.
    """
    if changed is None:
        return
    await session.execute(
        text("""
            WITH seen_by_alerts AS (
                UPDATE watch SET changes = changes + 1 WHERE workspace_id = :workspace
            )
            INSERT INTO change (workspace_id, campaign_ids, unmapped, since, until)
            VALUES (:workspace, cast(:campaigns AS uuid[]), :unmapped, :since, :until)
            ON CONFLICT (workspace_id) DO UPDATE SET
                campaign_ids = ARRAY(SELECT DISTINCT unnest(change.campaign_ids || excluded.campaign_ids)),
                unmapped = change.unmapped OR excluded.unmapped,
                since = least(change.since, excluded.since), until = greatest(change.until, excluded.until)
        """),
        {
            "workspace": workspace_of(session), "campaigns": sorted(changed.campaign_ids),
            "unmapped": changed.unmapped, "since": changed.since, "until": changed.until,
        },
    )  # fmt: skip
    await tell_change(session, now)


async def tell_change(session: AsyncSession, now: datetime) -> None:
    """Publishes what is noted, unless the last news waits to be delivered."""
    row = (
        await session.execute(
            text("""
                DELETE FROM change WHERE workspace_id = :workspace AND NOT EXISTS (
                    SELECT FROM delivery d JOIN outbox o ON (o.workspace_id, o.id) = (d.workspace_id, d.outbox_id)
                    WHERE d.workspace_id = :workspace AND o.type = :type
                )
                RETURNING campaign_ids, unmapped, since, until
            """),
            {"workspace": workspace_of(session), "type": NumbersChanged.type},
        )
    ).one_or_none()
    if row:
        event = NumbersChanged(
            campaign_ids=sorted(row.campaign_ids), unmapped=row.unmapped, since=row.since, until=row.until
        )
        await record(session, event, workspace_of(session), now)


async def untold_workspaces(session: AsyncSession) -> Sequence[UUID]:
    """Workspaces with something noted (worker transaction)."""
    return (await session.execute(text("SELECT workspace_id FROM change"))).scalars().all()
