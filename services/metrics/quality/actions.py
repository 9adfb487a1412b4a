"""Decides how the grades of sources are known wherever numbers are told that rest on them."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from uuid import UUID
from weakref import WeakKeyDictionary

from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import REMEMBERED, Database, workspace_of
from services.metrics.quality.rules import DAYS, QualityGrade, grade_of, parts_of
from services.metrics.quality.store import Told, told_by

# A grade is of a month of hours, so that one of a minute ago will do; to find it takes as long as a series does.
REMEMBER = timedelta(minutes=1)

Grades = Mapping[UUID, QualityGrade]
_known: WeakKeyDictionary[Database, dict[UUID, tuple[datetime, Grades]]] = WeakKeyDictionary()


def grade(told: Told, now: datetime) -> QualityGrade:
    """How good what a source told is."""
    return grade_of(parts_of(told.hours, told.steps, told.last_at, now), sum(each.received for each in told.hours))


async def grades_of(session: AsyncSession, source_ids: Collection[UUID], now: datetime) -> Grades:
    """How good what these sources told over the last days is, as of at most a minute ago."""
    known = _known.setdefault(session.info["database"], {})
    at, grades = known.get(workspace_of(session), (now, {}))
    if now - at >= REMEMBER or at > now or not set(source_ids) <= grades.keys():
        since = now - timedelta(days=DAYS)
        told = await told_by(session, source_ids, since, since.date().replace(day=1)) if source_ids else ()
        at, grades = now, {each.source_id: grade(each, now) for each in told}
        if len(known) >= REMEMBERED:
            known.clear()
        known[workspace_of(session)] = at, grades
    return grades
