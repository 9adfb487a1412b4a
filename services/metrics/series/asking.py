"""Decides which parameters a series is asked for with, by whatever route."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated
from uuid import UUID

from fastapi import Query
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import zone_of
from chassis.errors import Invalid
from chassis.fields import UtcDatetime, holds_nul
from chassis.paging import MOST, Ids
from services.metrics.metric.store import definitions
from services.metrics.series.actions import Question
from services.metrics.series.rules import Grain, GroupBy, Scope

Texts = Annotated[list[str], Query(max_length=MOST, description=f"Only these, up to {MOST}.")]


@dataclass(frozen=True)
class Asking:
    """What callers say of the series that they want."""

    since: date
    until: date
    grain: Grain
    campaign_id: list[UUID]
    source_id: list[UUID]
    message_id: list[str]
    url: list[str]
    group_by: GroupBy | None
    version: int | None
    as_of: datetime | None

    async def question(self, session: AsyncSession, key: str, now: datetime) -> Question:
        for field, values in (("message_id", self.message_id), ("url", self.url)):
            if holds_nul(values):
                raise Invalid.field(field, "holds a NUL character", "nul")
        known = await definitions(session, [(key, self.version)])
        scope = Scope(
            self.since, self.until, self.grain, tuple(self.campaign_id), tuple(self.source_id), self.group_by,
            tuple(self.message_id), tuple(self.url), self.as_of,
        )  # fmt: skip
        return Question.of(known.get(key, self.version), known.book, scope, await zone_of(session), now)


def asking(
    since: Annotated[date, Query(alias="from", description="First local day.", examples=["2026-01-01"])],
    until: Annotated[date, Query(alias="to", description="First local day that no longer counts.")],
    grain: Annotated[Grain, Query(description="Weeks begin on Monday; `total` is one point.")] = Grain.MONTH,
    campaign_id: Ids = [],
    source_id: Ids = [],
    message_id: Texts = [],
    url: Texts = [],
    group_by: Annotated[GroupBy | None, Query(description="A series for each; without it, one over all.")] = None,
    version: Annotated[
        int | None, Query(ge=1, le=1_000_000, description="Of the definition; the newest without.")
    ] = None,
    as_of: Annotated[UtcDatetime | None, Query(description="Only what had arrived by then.")] = None,
) -> Asking:
    """Dependency: the parameters that all series have."""
    return Asking(since, until, grain, campaign_id, source_id, message_id, url, group_by, version, as_of)
