"""Decides how goals are read and written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import TextClause, and_, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from chassis.db import get_row
from chassis.errors import Invalid
from chassis.reading import Source
from services.goals.campaign.models import Campaign
from services.goals.campaign.rules import CLOSED, CampaignState
from services.goals.goal.models import Goal, GoalCampaign
from services.goals.goal.rules import Health
from services.goals.objective.models import Objective


async def save_goal(session: AsyncSession, goal: Goal, campaign_ids: Sequence[UUID]) -> None:
    """Keeps a goal over campaigns and for an objective of this workspace; Invalid names one that doesn't exist."""
    known = set((await session.scalars(select(Campaign.id).where(col(Campaign.id).in_(campaign_ids)))).all())
    for index, campaign_id in enumerate(campaign_ids):
        if campaign_id not in known:
            raise Invalid.field(f"campaign_ids.{index}", f"no campaign {campaign_id}", "unknown")
    if goal.objective_id and not await session.get(Objective, (goal.workspace_id, goal.objective_id)):
        raise Invalid.field("objective_id", f"no objective {goal.objective_id}", "unknown")
    session.add(goal)
    await session.flush()
    rows = (await session.scalars(select(GoalCampaign).where(col(GoalCampaign.goal_id) == goal.id))).all()
    links = {row.campaign_id: row for row in rows}
    for campaign_id in campaign_ids:
        if campaign_id not in links:
            session.add(GoalCampaign(workspace_id=goal.workspace_id, goal_id=goal.id, campaign_id=campaign_id))
    for campaign_id in links.keys() - set(campaign_ids):
        await session.delete(links[campaign_id])
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


@dataclass(frozen=True)
class Carrier:
    """A campaign that a goal is measured over."""

    id: UUID
    owner: str
    state: CampaignState

    @property
    def is_idle(self) -> bool:
        return self.state in CLOSED


async def carriers_of(session: AsyncSession, goal_ids: Sequence[UUID]) -> dict[UUID, list[Carrier]]:
    """Each goal's campaigns, with what tells whether they can carry it."""
    carriers: dict[UUID, list[Carrier]] = {each: [] for each in goal_ids}
    rows = await session.execute(
        select(GoalCampaign.goal_id, Campaign.id, Campaign.owner, Campaign.state)
        .join(Campaign, col(Campaign.id) == GoalCampaign.campaign_id)
        .where(col(GoalCampaign.goal_id).in_(goal_ids))
        .order_by(col(Campaign.id))
    )
    for goal_id, campaign_id, owner, state in rows.all():
        carriers[goal_id].append(Carrier(campaign_id, owner, CampaignState(state)))
    return carriers


async def _links(source: Source, statement: TextClause, ids: Sequence[UUID]) -> dict[UUID, list[UUID]]:
    links: dict[UUID, list[UUID]] = {each: [] for each in ids}
    for key, linked in (await source.execute(statement, {"ids": list(ids)})).all():
        links[key].append(linked)
    return links


async def due_goals(session: AsyncSession, now: datetime, most: int) -> dict[UUID, list[UUID]]:
    """Goals to be evaluated by now: workspace -> goal ids (worker transaction)."""
    rows = await session.execute(
        text("SELECT workspace_id, id FROM goal WHERE evaluate_at <= :now ORDER BY evaluate_at LIMIT :most"),
        {"now": now, "most": most},
    )
    due: dict[UUID, list[UUID]] = {}
    for row in rows.all():
        due.setdefault(row.workspace_id, []).append(row.id)
    return due


async def bring_forward(session: AsyncSession, campaign_ids: Sequence[UUID], now: datetime) -> None:
    """Asks for an early evaluation of the goals that are still followed and measured over these campaigns, or over the
    whole workspace.

    Of goals that are due already too: they may be being evaluated now, from numbers that are older than this.
    """
    await session.execute(
        text("""UPDATE goal SET evaluate_at = :now FROM (
                    SELECT id FROM goal g
                    WHERE evaluate_at IS NOT NULL AND (
                        EXISTS (SELECT 1 FROM goal_campaign c WHERE c.goal_id = g.id AND c.campaign_id = ANY(:ids))
                        OR NOT EXISTS (SELECT 1 FROM goal_campaign c WHERE c.goal_id = g.id))
                    ORDER BY id FOR UPDATE
                ) AS held WHERE goal.id = held.id"""),
        {"now": now, "ids": list(campaign_ids)},
    )


async def put_off(session: AsyncSession, goals: Sequence[Goal], until: Sequence[datetime | None]) -> None:
    """Plans each goal's next evaluation, or none, but for those that were asked for again since they were read."""
    await session.execute(
        text("""UPDATE goal SET evaluate_at = held.until FROM (
                    SELECT goal.id, read.until FROM goal
                    JOIN unnest(cast(:ids AS uuid[]), cast(:seen AS timestamptz[]), cast(:until AS timestamptz[]))
                        AS read(id, evaluate_at, until)
                        ON goal.id = read.id AND goal.evaluate_at = read.evaluate_at
                    ORDER BY goal.id FOR UPDATE OF goal
                ) AS held WHERE goal.id = held.id"""),
        {"ids": [goal.id for goal in goals], "seen": [goal.evaluate_at for goal in goals], "until": list(until)},
    )


async def note_health(session: AsyncSession, found: Mapping[UUID, Health | None]) -> None:
    """Keeps how healthy goals were found, so that lists can be filtered by it. It is no change that anybody made."""
    await session.execute(
        text("""UPDATE goal SET health = read.health
                FROM unnest(cast(:ids AS uuid[]), cast(:health AS text[])) AS read(id, health)
                WHERE goal.id = read.id AND goal.health IS DISTINCT FROM read.health"""),
        {"ids": list(found), "health": [each and each.value for each in found.values()]},
    )
