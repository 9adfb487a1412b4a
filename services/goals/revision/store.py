"""Decides how revisions are written. They are read as any list is."""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from services.goals.goal.models import Goal
from services.goals.revision.models import GoalTerms, Revision


async def keep_revision(
    session: AsyncSession, goal: Goal, before: GoalTerms, reason: str, by: str, now: datetime
) -> None:
    """Writes the goal as it is now, and beside it what it asked for before."""
    revision = Revision(
        workspace_id=goal.workspace_id, goal_id=goal.id, reason=reason, revised_by=by, revised_at=now,
        before=before.model_dump(mode="json"), after=GoalTerms.of(goal).model_dump(mode="json"),
    )  # fmt: skip
    session.add_all([goal, revision])
    await session.flush()
