"""Decides what is asked of a metric's past, and what is kept of the answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import dropwhile

from services.goals.evaluation.achievable import MOST_WINDOWS
from services.goals.evaluation.forecast import (
    MOST_MONTHS,
    MOST_WEEKS,
    WEEKS_MATTER_DAYS,
    Day,
    month_indices,
    profile_of,
    spread_of,
    weekday_indices,
)
from services.goals.evaluation.models import History
from services.goals.goal.models import Goal
from services.goals.goal.rules import Days, GoalState, windows_before
from services.goals.upstream import Definition, Question, Series

# As long as metrics answers in one series.
MOST_DAYS = 1000
# A draft's history is still being imported, perhaps; an active goal's changes by the day.
LOOK_AGAIN = {GoalState.DRAFT: timedelta(hours=1), GoalState.ACTIVE: timedelta(days=1)}


@dataclass(frozen=True)
class PastQuestions:
    """What a goal's past is made of: windows of its length; the weeks before it, and its own so far, by the day; years
    by the month where a year's season may show."""

    anchor: date
    windows: tuple[Question, ...]
    days: Question
    months: Question | None

    @property
    def all(self) -> list[Question]:
        return [*self.windows, self.days, *([self.months] if self.months else [])]


def signature(goal: Goal, definition: Definition, campaigns: Sequence[object]) -> str:
    """Tells whether a history answers what the goal asks now."""
    parts = [goal.metric_key, definition.version, goal.window_start, goal.window_due, *campaigns]
    return " ".join(map(str, parts))


def is_old(goal: Goal, history: History | None, asked: str, now: datetime) -> bool:
    """Whether the past is to be asked about again. That of a closed goal no longer matters."""
    if goal.state not in LOOK_AGAIN:
        return False
    return history is None or history.asked != asked or now - history.checked_at >= LOOK_AGAIN[goal.state]


def past_questions(question: Question, window: Days, adds_up: bool, today: date) -> PastQuestions:
    """`question`: the goal's own metric and campaigns. Only whole days, and months, that are over."""
    anchor = min(window.start, today)

    def over(span: Days, grain: str = "total") -> Question:
        return Question(question.metric, span.start, span.end, question.campaign_ids, grain)

    first = max(anchor - timedelta(weeks=MOST_WEEKS), today - timedelta(days=MOST_DAYS))
    month = today.replace(day=1)
    years = windows_before(month, Days(date(2001, 1, 1), date(2001, 2, 1)), MOST_MONTHS)
    return PastQuestions(
        anchor,
        tuple(over(span) for span in windows_before(anchor, window, MOST_WINDOWS)),
        over(Days(first, today), "day"),
        over(Days(years[0].start, month), "month") if adds_up and len(window) > WEEKS_MATTER_DAYS else None,
    )


def find_past(
    goal: Goal, asked: str, questions: PastQuestions, answers: Mapping[Question, Series], adds_up: bool, now: datetime
) -> History:
    """What is kept of the answers. A window that isn't wholly known yet counts as a gap."""
    window = goal.window_days
    windows = [
        points[0].value if (points := answers[each].points) and points[0].completeness == 1 else None
        for each in questions.windows
    ]
    days = [Day(each.start, each.value, each.denominator) for each in answers[questions.days].points]
    if adds_up:  # days of nothing are from before the metric was fed
        days = list(dropwhile(lambda day: not day.value and day.day < questions.anchor, days))
    months = None
    if questions.months:
        months = month_indices([(each.start, each.value or 0.0) for each in answers[questions.months].points])
    # Before the window: what it brings itself is to be measured by the profile, not to shape it.
    before = [(each.day, each.value or 0.0) for each in days if each.day < questions.anchor]
    weekdays = weekday_indices(before) if adds_up else None
    profile, no_season = profile_of(window, adds_up, months, weekdays)
    spread = spread_of(window, adds_up, profile, days)
    return History(
        workspace_id=goal.workspace_id, goal_id=goal.id, found_at=now, checked_at=now, asked=asked,
        anchor=questions.anchor, windows=windows, months=list(months) if months else None,
        weekdays=list(weekdays) if weekdays else None, no_season=no_season,
        dispersion=spread.dispersion if spread else None, days=spread.days if spread else 0,
        weight_per_day=spread.weight_per_day if spread else None,
    )  # fmt: skip
