"""Decides what is told when numbers change: for which campaigns, over which days."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import ClassVar
from uuid import UUID

from pydantic import ConfigDict, Field
from sqlalchemy import ARRAY, Boolean, Column, Date, Table, Uuid

from chassis.outbox import Event
from services.metrics.db import METADATA


class NumbersChanged(Event):
    """Numbers of these days aren't what they were. `campaign_ids` are those concerned; `unmapped` says that events of
    no campaign are too; the workspace's totals always are. Half-open span of local days, JSON `from` and `to`."""

    model_config = ConfigDict(frozen=True, validate_by_name=True, validate_by_alias=True, serialize_by_alias=True)
    type: ClassVar[str] = "metrics.numbers.changed"
    campaign_ids: list[UUID]
    unmapped: bool
    since: date = Field(alias="from")
    until: date = Field(alias="to")


@dataclass(frozen=True)
class Change:
    """What one transaction changed."""

    campaign_ids: frozenset[UUID]
    unmapped: bool
    since: date
    until: date

    @classmethod
    def over(cls, cells: Iterable[tuple[UUID | None, date]]) -> "Change | None":
        """All of these campaigns (None: no campaign) on these days together; None when there are none."""
        found = list(cells)
        if not found:
            return None
        days = [day for _, day in found]
        campaigns = {campaign_id for campaign_id, _ in found}
        return cls(
            campaign_ids=frozenset(each for each in campaigns if each is not None),
            unmapped=None in campaigns,
            since=min(days),
            until=max(days) + timedelta(days=1),
        )


# What a workspace's subscribers haven't been told yet: at most one row for each.
change = Table(
    "change", METADATA,
    Column("workspace_id", Uuid, primary_key=True),
    Column("campaign_ids", ARRAY(Uuid), nullable=False),
    Column("unmapped", Boolean, nullable=False),
    Column("since", Date, nullable=False),
    Column("until", Date, nullable=False),
)  # fmt: skip
