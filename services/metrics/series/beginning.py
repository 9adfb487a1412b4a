"""Decides since when there is anything that a series is about: what was before that is no number of nothing."""

from collections.abc import Collection
from datetime import date

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.metrics.metric.rules import Counted, Observed
from services.metrics.observation.store import first_observed
from services.metrics.rollup.rules import Piece
from services.metrics.series.reading import NAMED, Plan, bound
from services.metrics.series.rules import Scope
from services.metrics.series.store import Needs

About = tuple[Scope, Needs]

_FIRST = text(
    """
    WITH {NAMED}
    SELECT a.subject, min(r.start) AS day FROM named a CROSS JOIN LATERAL (
        SELECT start FROM counted WHERE workspace_id = :workspace AND campaign_id = a.id AND grain = a.piece
            AND count > 0 AND (a.sources IS NULL OR source_id = ANY(a.sources))
        ORDER BY start LIMIT 1
    ) AS r GROUP BY 1
    """.replace("{NAMED}", NAMED)
)


async def first_days(session: AsyncSession, asked: Collection[About]) -> dict[About, date]:
    """The first day on which there was anything of all that is needed in each scope: any event of its campaigns and
    sources, an observation of each metric. Those of which there is nothing yet are left out."""
    counted = {scope for scope, needs in asked if any(isinstance(each, Counted) for each in needs)}
    plan = Plan({(scope, None): [(Piece.DAY, scope.since, scope.until)] for scope in counted})
    rows = await session.execute(_FIRST, bound(session, plan.spans)) if counted else ()
    of_events = {row.subject: row.day for row in rows}
    pairs = {(scope, each.key) for scope, needs in asked for each in needs if isinstance(each, Observed)}
    of_metrics = await first_observed(session, list(pairs)) if pairs else {}

    def first(scope: Scope, what: Counted | Observed) -> date | None:
        if isinstance(what, Observed):
            return of_metrics.get((scope, what.key))
        return of_events.get(plan.subject((scope, None)))

    found = {about: [first(about[0], each) for each in about[1]] for about in asked}
    return {about: max(day for day in days if day) for about, days in found.items() if days and all(days)}
