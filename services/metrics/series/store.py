"""Decides where each number is read from: roll-ups where they hold it, the events themselves, or observations."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import workspace_of
from services.metrics.metric.rules import Counted, Observed
from services.metrics.observation.store import heard_of, read_observed
from services.metrics.rollup.folding import MOST_BY_READERS, fold_little
from services.metrics.series.numbers import Numbers
from services.metrics.series.raw import page_of_raw_groups, read_raw
from services.metrics.series.reading import narrowed
from services.metrics.series.rolled import is_rolled, page_of_rolled_groups, read_rolled
from services.metrics.series.rules import Group, Scope, ordered, page_of_groups

Needs = frozenset[Counted | Observed]
# What is asked for: in each scope, all that its metrics are made of.
Questions = Mapping[Scope, Needs]


@dataclass(frozen=True)
class Basis:
    """The workspace's zone; when each of its sources was last heard of, and since when what it sent waits to be
    counted; when each observed metric was last heard of."""

    zone: str
    heard: dict[UUID, datetime]
    waiting: dict[UUID, datetime]
    told: dict[str, datetime]

    def sources(self, scope: Scope, needs: Needs) -> list[UUID]:
        """The sources that these numbers rest on."""
        if not any(isinstance(each, Counted) for each in needs):
            return []
        return [each for each in self.heard if not scope.source_ids or each in scope.source_ids]

    def watermark(self, scope: Scope, needs: Needs) -> datetime | None:
        """Up to when everything is known that these numbers are made of: the latest post of the sources, or the first
        that isn't counted yet; the latest observation; None where nothing was ever heard."""
        times: list[datetime | None] = [self.told.get(each.key) for each in needs if isinstance(each, Observed)]
        if len(times) < len(needs):
            sources = self.sources(scope, needs)
            latest = max((self.heard[each] for each in sources), default=None)
            times.append(latest and min([latest, *(self.waiting[each] for each in sources if each in self.waiting)]))
        known = [at for at in times if at is not None]
        if not known or len(known) < len(times):
            return None
        return min(min(known), scope.as_of) if scope.as_of else min(known)


_BASIS = text("""
    SELECT w.zone, s.id, s.received_at, (
            SELECT min(u.received_at) FROM uncounted u WHERE u.workspace_id = w.workspace_id AND u.source_id = s.id
        ) AS waiting_since,
        (SELECT count(*) FROM (SELECT FROM uncounted WHERE workspace_id = :workspace LIMIT :most) AS u) AS waiting
    FROM workspace w LEFT JOIN source s ON s.workspace_id = w.workspace_id AND s.received_at IS NOT NULL
    WHERE w.workspace_id = :workspace
""")


async def read_basis(session: AsyncSession, needs: Iterable[Counted | Observed] = ()) -> Basis:
    """What numbers that are read next rest on. What little waits to be counted is counted first; where it is much, the
    watermark is where it begins."""
    named = {"workspace": workspace_of(session), "most": MOST_BY_READERS + 1}
    found = (await session.execute(_BASIS, named)).all()
    if await fold_little(session, found[0].waiting):
        found = (await session.execute(_BASIS, named)).all()
    observed = {each.key for each in needs if isinstance(each, Observed)}
    told = await heard_of(session, observed) if observed else {}
    heard = {row.id: row.received_at for row in found if row.id}
    waiting = {row.id: row.waiting_since for row in found if row.waiting_since}
    return Basis(found[0].zone, heard, waiting, told)


async def read_numbers(session: AsyncSession, questions: Questions, zone: str) -> dict[Scope, Numbers]:
    """What is needed in each scope, of all groups. Four statements at most for all that the roll-ups and observations
    tell, and a few more for each scope of which only the events can."""
    read = {scope: Numbers() for scope in questions}
    counted = {scope: _counted(needs) for scope, needs in questions.items()}
    rolled = [(scope, each) for scope, needs in counted.items() for each in needs if _is_rolled(scope, each)]
    await read_rolled(session, rolled, read)
    for scope, needs in counted.items():
        if rest := [each for each in needs if not _is_rolled(scope, each)]:
            await read_raw(session, scope, zone, rest, read[scope])
    await _observed(session, questions, read)
    return read


async def read_grouped(
    session: AsyncSession, scope: Scope, needs: Needs, zone: str, after: tuple[Group] | None, most: int
) -> tuple[Numbers, list[Group], bool]:
    """What is needed in one scope, of a page of its groups: those named, or those that have anything in the span; and
    whether there are more."""
    if scope.named:
        numbers = (await read_numbers(session, {scope: needs}, zone))[scope]
        return numbers, *page_of_groups(scope.named, after, most)
    numbers = Numbers()
    await _observed(session, {scope: needs}, {scope: numbers})
    groups = numbers.observed_groups
    counted = _counted(needs)
    if counted and scope.raw:
        groups |= set(await page_of_raw_groups(session, scope, zone, after, most + 1))
    elif counted:
        groups |= set(await page_of_rolled_groups(session, scope, after, most + 1))
    page, more = page_of_groups(ordered(groups, after), None, most)
    if counted and page:
        of_page = narrowed(scope, page)
        rolled = [(of_page, each) for each in counted if _is_rolled(scope, each)]
        await read_rolled(session, rolled, {of_page: numbers})
        if rest := [each for each in counted if not _is_rolled(scope, each)]:
            await read_raw(session, scope, zone, rest, numbers, page)
    return numbers, page, more


def _is_rolled(scope: Scope, what: Counted) -> bool:
    return not scope.raw and is_rolled(what)


def _counted(needs: Needs) -> list[Counted]:
    return [each for each in needs if isinstance(each, Counted)]


async def _observed(session: AsyncSession, questions: Questions, read: Mapping[Scope, Numbers]) -> None:
    asked: dict[Scope, list[str]] = defaultdict(list)
    for scope, needs in questions.items():
        asked[scope] += [each.key for each in needs if isinstance(each, Observed)]
    pairs: Sequence[tuple[Scope, str]] = [(scope, key) for scope, keys in asked.items() for key in keys]
    for scope, key, group, start, found in await read_observed(session, pairs) if pairs else ():
        read[scope].add_observed(group, start, key, found)
