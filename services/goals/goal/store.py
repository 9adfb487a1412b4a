"""Decides how goals and their evaluations are read and written."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, TextClause, Uuid, and_, bindparam, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased
from sqlmodel import col, select

from chassis.db import get_row
from chassis.errors import Invalid
from chassis.reading import Source
from services.goals.campaign.models import Campaign
from services.goals.goal.models import Evaluation, Goal, GoalCampaign
from services.goals.goal.rules import OPEN_STATES
from services.goals.objective.models import Objective


async def add_goal(session: AsyncSession, goal: Goal, campaign_ids: Sequence[UUID]) -> None:
    """Adds a goal over campaigns and for an objective of this workspace; Invalid names one that doesn't exist."""
    known = set((await session.scalars(select(Campaign.id).where(col(Campaign.id).in_(campaign_ids)))).all())
    for index, campaign_id in enumerate(campaign_ids):
        if campaign_id not in known:
            raise Invalid.field(f"campaign_ids.{index}", f"no campaign {campaign_id}", "unknown")
    if goal.objective_id and not await session.get(Objective, (goal.workspace_id, goal.objective_id)):
        raise Invalid.field("objective_id", f"no objective {goal.objective_id}", "unknown")
    session.add(goal)
    await session.flush()
    links = [GoalCampaign(workspace_id=goal.workspace_id, goal_id=goal.id, campaign_id=each) for each in campaign_ids]
    session.add_all(links)
    await session.flush()


async def get_goal(session: AsyncSession, goal_id: UUID, *, lock: bool = False) -> Goal:
    return await get_row(session, Goal, goal_id, lock=lock)


async def lock_goals(session: AsyncSession, goal_ids: Sequence[UUID]) -> list[Goal]:
    """Those that exist, as they are now, held until the transaction ends."""
    statement = select(Goal).where(col(Goal.id).in_(goal_ids)).order_by(col(Goal.id)).with_for_update()
    return list((await session.scalars(statement.execution_options(populate_existing=True))).all())


async def get_goals(session: AsyncSession, goal_ids: Sequence[UUID]) -> list[Goal]:
    """Those that exist, in the order asked for."""
    rows = (await session.scalars(select(Goal).where(col(Goal.id).in_(goal_ids)))).all()
    found = {goal.id: goal for goal in rows}
    return [found[goal_id] for goal_id in dict.fromkeys(goal_ids) if goal_id in found]


CAMPAIGN_LINK = and_(col(GoalCampaign.workspace_id) == Goal.workspace_id, col(GoalCampaign.goal_id) == Goal.id)


_CAMPAIGNS_OF = text("SELECT goal_id, campaign_id FROM goal_campaign WHERE goal_id = ANY(:ids) ORDER BY campaign_id")
_GOALS_OF = text("SELECT campaign_id, goal_id FROM goal_campaign WHERE campaign_id = ANY(:ids) ORDER BY goal_id")


async def campaigns_of(source: Source, goal_ids: Sequence[UUID]) -> dict[UUID, list[UUID]]:
    """Each goal's campaigns."""
    return await _links(source, _CAMPAIGNS_OF, goal_ids)


async def goals_of(source: Source, campaign_ids: Sequence[UUID]) -> dict[UUID, list[UUID]]:
    """Each campaign's goals."""
    return await _links(source, _GOALS_OF, campaign_ids)


async def _links(source: Source, statement: TextClause, ids: Sequence[UUID]) -> dict[UUID, list[UUID]]:
    links: dict[UUID, list[UUID]] = {each: [] for each in ids}
    for key, linked in (await source.execute(statement, {"ids": list(ids)})).all():
        links[key].append(linked)
    return links


async def latest_evaluations(
    session: AsyncSession, goal_ids: Sequence[UUID], as_of: datetime | None = None
) -> dict[UUID, Evaluation]:
    """Each goal's latest evaluation (at or before `as_of`), found by index however many there are."""
    before = "AND evaluated_at <= :as_of" if as_of else ""
    latest = (
        text(f"""
            SELECT e.* FROM unnest(:ids) AS wanted(id) CROSS JOIN LATERAL (
                SELECT * FROM evaluation WHERE goal_id = wanted.id {before} ORDER BY evaluated_at DESC LIMIT 1
            ) e
        """)  # noqa: S608  # a constant
        .bindparams(bindparam("ids", list(goal_ids), ARRAY(Uuid)), **({"as_of": as_of} if as_of else {}))
        .columns(*Evaluation.__table__.columns)  # type: ignore[attr-defined]
        .subquery()
    )
    rows = await session.scalars(select(aliased(Evaluation, latest)))
    return {row.goal_id: row for row in rows.all()}


async def due_goals(session: AsyncSession, now: datetime, most: int) -> dict[UUID, list[UUID]]:
    """Open goals to be evaluated by now: workspace -> goal ids (worker transaction)."""
    rows = await session.execute(
        # Spelled as the index's own condition is, so that it is used.
        text("""SELECT workspace_id, id FROM goal WHERE evaluate_at <= :now AND state IN ('draft', 'active')
                ORDER BY evaluate_at LIMIT :most"""),
        {"now": now, "most": most},
    )
    due: dict[UUID, list[UUID]] = {}
    for row in rows.all():
        due.setdefault(row.workspace_id, []).append(row.id)
    return due


async def bring_forward(session: AsyncSession, campaign_ids: Sequence[UUID], now: datetime) -> None:
    """Asks for an early evaluation of the open goals measured over these campaigns, or over the whole workspace.

    Of goals that are due already too: they may be being evaluated now, from numbers that are older than this.
    """
    await session.execute(
        text("""UPDATE goal SET evaluate_at = :now FROM (
                    SELECT id FROM goal g
                    WHERE state = ANY(:open) AND (
                        EXISTS (SELECT 1 FROM goal_campaign c WHERE c.goal_id = g.id AND c.campaign_id = ANY(:ids))
                        OR NOT EXISTS (SELECT 1 FROM goal_campaign c WHERE c.goal_id = g.id))
                    ORDER BY id FOR UPDATE
                ) AS held WHERE goal.id = held.id"""),
        {"now": now, "open": [state.value for state in OPEN_STATES], "ids": list(campaign_ids)},
    )


async def put_off(session: AsyncSession, goals: Sequence[Goal], until: datetime) -> None:
    """Plans the goals' next evaluation, but for those that were asked for again since they were read."""
    await session.execute(
        text("""UPDATE goal SET evaluate_at = :until FROM (
                    SELECT goal.id FROM goal
                    JOIN unnest(cast(:ids AS uuid[]), cast(:seen AS timestamptz[])) AS read(id, evaluate_at)
                        ON goal.id = read.id AND goal.evaluate_at = read.evaluate_at
                    ORDER BY goal.id FOR UPDATE OF goal
                ) AS held WHERE goal.id = held.id"""),
        {"ids": [goal.id for goal in goals], "seen": [goal.evaluate_at for goal in goals], "until": until},
    )
