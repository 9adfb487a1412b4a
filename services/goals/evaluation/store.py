"""Decides how evaluations, and the histories that they rest on, are read and written."""

from collections.abc import Sequence
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, bindparam, inspect, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased
from sqlmodel import col, select

from services.goals.evaluation.models import Evaluation, History

Found = TypeVar("Found", Evaluation, History)


async def latest_evaluations(
    session: AsyncSession, goal_ids: Sequence[UUID], as_of: datetime | None = None
) -> dict[UUID, Evaluation]:
    """Each goal's latest evaluation (at or before `as_of`), found by index however many there are."""
    return await _latest(session, Evaluation, "evaluated_at", goal_ids, as_of)


async def latest_histories(session: AsyncSession, goal_ids: Sequence[UUID]) -> dict[UUID, History]:
    """What was last found of each goal's metric before."""
    return await _latest(session, History, "found_at", goal_ids, None)


async def _latest(
    session: AsyncSession, model: type[Found], since: str, goal_ids: Sequence[UUID], as_of: datetime | None
) -> dict[UUID, Found]:
    columns = inspect(model).local_table.columns
    names, before = ", ".join(column.name for column in columns), f"AND {since} <= :as_of" if as_of else ""
    latest = (
        text(f"""
            SELECT e.* FROM unnest(:ids) AS wanted(id) CROSS JOIN LATERAL (
                SELECT {names} FROM {model.__tablename__} WHERE goal_id = wanted.id {before}
                ORDER BY {since} DESC, id DESC LIMIT 1
            ) e
        """)  # noqa: S608  # constants
        .bindparams(bindparam("ids", list(goal_ids), ARRAY(Uuid)), **({"as_of": as_of} if as_of else {}))
        .columns(*columns)
        .subquery()
    )
    rows = await session.scalars(select(aliased(model, latest)))
    return {row.goal_id: row for row in rows.all()}


async def histories(session: AsyncSession, evaluations: Sequence[Evaluation]) -> dict[UUID, History]:
    """The histories that evaluations were judged by, by their own id."""
    ids = {each.history_id for each in evaluations if each.history_id}
    rows = await session.scalars(select(History).where(col(History.id).in_(ids)))
    return {row.id: row for row in rows.all()}


async def workspaces(session: AsyncSession) -> list[UUID]:
    """All there are (worker transaction)."""
    return list((await session.scalars(text("SELECT workspace_id FROM workspace"))).all())


async def keep_last_of_days(session: AsyncSession, until: datetime, zone: str) -> None:
    """Of what was found before `until` keeps each goal's last evaluation of each local day, and the histories that
    evaluations were judged by."""
    await session.execute(
        text("""
            DELETE FROM evaluation USING (
                SELECT id, row_number() OVER (
                    PARTITION BY goal_id, cast(evaluated_at AT TIME ZONE :zone AS date)
                    ORDER BY evaluated_at DESC, id DESC
                ) AS place
                FROM evaluation WHERE evaluated_at < :until
            ) AS seen
            WHERE evaluation.id = seen.id AND seen.place > 1
        """),
        {"until": until, "zone": zone},
    )
    await session.execute(
        text("""
            DELETE FROM history h
            WHERE found_at < :until
              AND NOT EXISTS (SELECT FROM evaluation e WHERE e.history_id = h.id)
              AND EXISTS (SELECT FROM history l WHERE l.goal_id = h.goal_id AND l.found_at > h.found_at)
        """),
        {"until": until},
    )
