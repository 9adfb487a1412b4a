"""Decides how a workspace's spending policy is found."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import get_row, workspace_of
from chassis.reading import Source
from services.budget.policy.models import PolicyCreate, SpendingPolicy

DEFAULT = PolicyCreate.model_validate({})


async def policy_of(source: Source) -> SpendingPolicy:
    """What holds now; where nothing was settled, the defaults at version 1. For reading."""
    row = (await source.execute(_POLICY, {"workspace": workspace_of(source)})).one_or_none()
    if row is None:
        return SpendingPolicy(workspace_id=workspace_of(source), **DEFAULT.model_dump())
    return SpendingPolicy.model_validate(row._mapping if hasattr(row, "_mapping") else dict(row))


async def own_policy(session: AsyncSession) -> SpendingPolicy:
    """The workspace's row, made if there is none."""
    settled = await policy_of(session)
    await session.execute(_SETTLE, settled.model_dump() | {"matching": settled.matching.value})
    row_id = await session.scalar(text("SELECT id FROM policy WHERE workspace_id = :w"), {"w": settled.workspace_id})
    return await get_row(session, SpendingPolicy, row_id, lock=True)


_POLICY = text("SELECT * FROM policy WHERE workspace_id = :workspace")
_SETTLE = text("""
    INSERT INTO policy (workspace_id, id, tolerance_percent, reservation_days, matching, reserve_line_id)
    VALUES (:workspace_id, :id, :tolerance_percent, :reservation_days, :matching, :reserve_line_id)
    ON CONFLICT (workspace_id) DO NOTHING
""")
