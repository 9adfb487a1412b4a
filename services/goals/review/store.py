"""Decides how reviews are written. They are read as any list is."""

from sqlalchemy.ext.asyncio import AsyncSession

from services.goals.goal.models import Goal
from services.goals.review.models import Review


async def add_review(session: AsyncSession, goal: Goal, review: Review) -> None:
    """The goal asks for none any more."""
    goal.needs_review = False
    session.add_all([goal, review])
    await session.flush()
