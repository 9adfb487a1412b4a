"""Decides which periods a span of days has, how complete each is, and what a series may ask for."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from uuid import UUID

from chassis.errors import Invalid
from services.metrics.event.rules import MONTHS_KEPT, first_whole_day
from services.metrics.rollup.rules import midnight

# Three years of days.
MOST_POINTS = 1100
MOST_POINTS_TOGETHER = 50_000
FIRST_DAY = date(1990, 1, 1)
LAST_DAY = date(2200, 1, 1)


class Grain(StrEnum):
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"
    TOTAL = "total"


FINEST_FIRST = tuple(Grain)


class GroupBy(StrEnum):
    CAMPAIGN = "campaign_id"
    SOURCE = "source_id"
    CHANNEL = "channel"
    MESSAGE = "message_id"
    URL = "url"


# What roll-ups don't know of an event, so that the events themselves are read for it.
ONLY_IN_EVENTS = (GroupBy.MESSAGE, GroupBy.URL)
# What an observation has, too.
OF_OBSERVATIONS = (GroupBy.CAMPAIGN,)
# All that there is of it so far.
CHANNEL = "email"

# What a series of a group is of: an id as text, a message's id, a link; None: of no campaign, without a link.
Group = str | None


@dataclass(frozen=True)
class Scope:
    """Which events a series is about. No campaigns or sources named: all of them, those of no campaign too. `as_of`:
    only what had arrived by then."""

    since: date
    until: date
    grain: Grain
    campaign_ids: tuple[UUID, ...] = ()
    source_ids: tuple[UUID, ...] = ()
    group_by: GroupBy | None = None
    message_ids: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()
    as_of: datetime | None = None

    @property
    def raw(self) -> bool:
        """Whether only the events themselves can tell."""
        return bool(self.message_ids or self.urls or self.as_of or self.group_by in ONLY_IN_EVENTS)

    @property
    def named(self) -> tuple[Group, ...]:
        """The groups that are asked for by name."""
        found: Mapping[GroupBy | None, Sequence[object]] = {
            GroupBy.CAMPAIGN: self.campaign_ids, GroupBy.SOURCE: self.source_ids,
            GroupBy.MESSAGE: self.message_ids, GroupBy.URL: self.urls,
        }  # fmt: skip
        return tuple(dict.fromkeys(map(str, found.get(self.group_by, ()))))

    def check_observed(self) -> None:
        """Invalid where it asks of observations what only events have."""
        by = self.group_by is None or self.group_by in OF_OBSERVATIONS
        for field, wrong in (
            ("group_by", not by),
            ("source_id", self.source_ids),
            ("message_id", self.message_ids),
            ("url", self.urls),
        ):
            if wrong:
                raise Invalid.field(field, "observations have a campaign and a day, and nothing else", "not_observed")


def check_as_of(scope: Scope, now: datetime, *, raw: bool) -> None:
    """Invalid where what would have to be counted again (`raw`) may be gone, or hasn't happened yet."""
    if scope.as_of and scope.as_of > now:
        raise Invalid.field("as_of", "is in the future", "in_the_future")
    horizon = first_whole_day(now)
    if raw and scope.since < horizon:
        field = "as_of" if scope.as_of else "from"
        words = f"events are kept for {MONTHS_KEPT} months; this is counted from them, so ask from {horizon} on"
        raise Invalid.field(field, words, "beyond_retention")


def check_grain(grain: Grain, finest: Grain) -> None:
    """Invalid for periods shorter than a metric makes sense for."""
    if FINEST_FIRST.index(grain) < FINEST_FIRST.index(finest):
        raise Invalid.field("grain", f"this metric is known by {finest} at the finest", "too_fine")


def page_of_groups(found: Sequence[Group], after: tuple[Group] | None, most: int) -> tuple[list[Group], bool]:
    """So many of the groups in their order, from the one behind `after` on; and whether there are more."""
    first = found.index(after[0]) + 1 if after is not None and after[0] in found else 0
    return list(found[first : first + most]), len(found) > first + most


def ordered(found: Iterable[Group], after: tuple[Group] | None = None) -> list[Group]:
    """Groups by their names from the one behind `after` on, the nameless last."""
    return sorted((each for each in found if after is None or _place(each) > _place(after[0])), key=_place)


def _place(group: Group) -> tuple[bool, str]:
    return group is None, group or ""


@dataclass(frozen=True)
class Period:
    """Half-open span of local days."""

    start: date
    end: date


def check_span(since: date, until: date) -> None:
    """Invalid unless the half-open span holds a day and lies in the years that dates are kept for."""
    if not FIRST_DAY <= since < until <= LAST_DAY:
        raise Invalid.field("to", f"must be after from, both between {FIRST_DAY} and {LAST_DAY}", "invalid_span")


def periods(since: date, until: date, grain: Grain) -> list[Period]:
    """Every period of the calendar in [since, until), the first and last cut to it; weeks begin on Monday (ISO 8601).

    Invalid when there are more than MOST_POINTS.
    """
    found: list[Period] = []
    for period in _periods(since, until, grain):
        if len(found) == MOST_POINTS:
            words = f"more than {MOST_POINTS} points; take a longer grain or a shorter span"
            raise Invalid.field("grain", words, "too_many_points")
        found.append(period)
    return found


def _periods(since: date, until: date, grain: Grain) -> Iterator[Period]:
    start = since
    while start < until:
        end = until if grain is Grain.TOTAL else min(until, _next(start, grain))
        yield Period(start, end)
        start = end


def _next(day: date, grain: Grain) -> date:
    """The first day of the period after the one that holds the day."""
    if grain is Grain.DAY:
        return day + timedelta(days=1)
    if grain is Grain.WEEK:
        return day + timedelta(days=7 - day.weekday())
    if grain is Grain.YEAR:
        return date(day.year + 1, 1, 1)
    months = 1 if grain is Grain.MONTH else 3 - (day.month - 1) % 3
    years, month = divmod(day.month - 1 + months, 12)
    return date(day.year + years, month + 1, 1)


def completeness(period: Period, zone: str, watermark: datetime | None) -> float:
    """Which share of a period, 0 to 1, lies before the watermark: when the latest post arrived."""
    if watermark is None:
        return 0.0
    begins, ends = midnight(period.start, zone), midnight(period.end, zone)
    if begins >= ends:  # a day that a zone left out as it moved over the date line
        return float(watermark >= ends)
    return min(1.0, max(0.0, (watermark - begins) / (ends - begins)))
