"""Decides how contracts are read and written."""

from collections.abc import Sequence
from datetime import date, datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import get_row, workspace_of, zone_of
from chassis.errors import Invalid
from chassis.reading import Source
from services.budget.contract.models import Contract, Overlap
from services.budget.plan.models import Line


async def get_contract(session: AsyncSession, contract_id: UUID, *, lock: bool = False) -> Contract:
    return await get_row(session, Contract, contract_id, lock=lock)


async def named_contract(session: AsyncSession, contract_id: UUID, *, lock: bool = False) -> Contract:
    """The contract that something names; Invalid, naming `contract_id`, when there is none."""
    contract = await session.get(Contract, (workspace_of(session), contract_id), with_for_update=lock)
    if contract is None:
        raise Invalid.field("contract_id", f"no contract {contract_id}", "unknown")
    return contract


async def paying_line(session: AsyncSession, line_id: UUID) -> Line:
    """The line that shall pay; Invalid, naming `line_id`, when there is none."""
    line = await session.get(Line, (workspace_of(session), line_id))
    if line is None:
        raise Invalid.field("line_id", f"no line {line_id}", "unknown")
    return line


async def today_of(source: Source, now: datetime) -> date:
    """The workspace's own day."""
    return now.astimezone(ZoneInfo(await zone_of(source))).date()


async def due_contracts(session: AsyncSession, now: datetime, most: int) -> list[tuple[UUID, UUID]]:
    """Workspace and id of contracts that something is due of by now, each in its workspace's own day (worker
    transaction). No zone is ahead of UTC by more than 14 hours: that bound is what the index is for."""
    rows = await session.execute(_DUE, {"now": now, "most": most})
    return [(row.workspace_id, row.id) for row in rows.all()]


_DUE = text("""
    SELECT workspace_id, id FROM contract JOIN workspace USING (workspace_id)
    WHERE due_on <= cast(:now AT TIME ZONE 'UTC' + interval '14 hours' AS date)
        AND due_on <= cast(:now AT TIME ZONE zone AS date)
    ORDER BY due_on LIMIT :most
""")

_LOCK_HOLDING = text("""
    SELECT id FROM contract WHERE workspace_id = :workspace AND held_line_id = ANY(:lines) ORDER BY id FOR UPDATE
""")
_NOTE_RELEASED = text("""
    UPDATE contract SET held_line_id = NULL, held_minor = 0 WHERE workspace_id = :workspace AND id = ANY(:ids)
""")


async def lock_holding(session: AsyncSession, line_ids: Sequence[UUID]) -> list[UUID]:
    """Contracts that hold money on one of these lines, which nobody else changes until this transaction ends."""
    asked = {"workspace": workspace_of(session), "lines": list(line_ids)}
    return list((await session.scalars(_LOCK_HOLDING, asked)).all())


async def note_released(session: AsyncSession, contract_ids: Sequence[UUID]) -> None:
    """What these contracts held was let go of, with all that was reserved on their line."""
    await session.execute(_NOTE_RELEASED, {"workspace": workspace_of(session), "ids": list(contract_ids)})


# Of each as many contracts as a batched read takes.
_OVERLAPS = text("""
    SELECT category, array_agg(DISTINCT vendor_id) AS vendor_ids,
        (array_agg(id ORDER BY id))[1\\:200] AS contract_ids, array_agg(DISTINCT department) AS departments
    FROM contract
    WHERE workspace_id = :workspace AND state IN ('active', 'notice_window', 'renewed') AND category > :after
    GROUP BY category HAVING count(DISTINCT vendor_id) > 1
    ORDER BY category LIMIT :most
""")


async def overlaps(source: Source, after: str, most: int) -> Sequence[Overlap]:
    """The categories after `after` in which tools of several vendors go on."""
    rows = await source.execute(_OVERLAPS, {"workspace": workspace_of(source), "after": after, "most": most})
    return [Overlap.of(row) for row in rows]
