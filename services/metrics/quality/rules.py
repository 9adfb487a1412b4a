"""Decides how good what a source tells is: five parts, each from 0 to 100, and a score of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from statistics import median

# So far back it looks, unless asked otherwise.
DAYS = 30
# A source that is silent for so many times its usual pause is suspect; for so many, it is dead.
LATE, DEAD = 3, 30
SHORTEST_PAUSE = timedelta(hours=1)
USUAL_PAUSE = timedelta(days=1)
# What a part weighs. Numbers can be no better than what was readable and is whole.
WEIGHTS = {"freshness": 20, "completeness": 25, "validity": 25, "uniqueness": 10, "consistency": 20}
GOOD, FAIR = 90, 70


class QualityGrade(StrEnum):
    GOOD = "good"
    FAIR = "fair"
    POOR = "poor"
    # Nothing came in the span: nothing can be said but that.
    SILENT = "silent"


@dataclass(frozen=True)
class Hour:
    """What came in an hour, and what became of it."""

    at: datetime
    received: int
    stored: int
    unmapped: int
    quarantined: int
    refused: int


@dataclass(frozen=True)
class Steps:
    """How many of a source's events tell of each step of a mail, or people of those that these do. None is told of by
    every platform."""

    sent: int = 0
    delivered: int = 0
    opened: int = 0
    clicked: int = 0


@dataclass(frozen=True)
class Parts:
    """Each from 0 to 100; None where nothing can be said."""

    freshness: float | None
    completeness: float | None
    validity: float | None
    uniqueness: float | None
    consistency: float | None


def parts_of(hours: Sequence[Hour], steps: Steps, last_at: datetime | None, now: datetime) -> Parts:
    """The parts of what came in these hours, the oldest first."""
    received, stored = sum(each.received for each in hours), sum(each.stored for each in hours)
    quarantined, refused = sum(each.quarantined for each in hours), sum(each.refused for each in hours)
    return Parts(
        freshness=_freshness(hours, last_at, now),
        completeness=_share(stored - sum(each.unmapped for each in hours), stored),
        validity=_share(received, received + quarantined + refused),
        uniqueness=_share(stored, received),
        consistency=_consistency(steps),
    )


def _share(part: int, whole: int) -> float | None:
    # Processes count by themselves: one may tell of what is stored before another of what came.
    return 100 * min(1.0, max(0, part) / whole) if whole else None


def _freshness(hours: Sequence[Hour], last_at: datetime | None, now: datetime) -> float | None:
    """100 while a source is silent no longer than three times its usual pause, then less, to 0 at thirty times."""
    if last_at is None:
        return None
    heard = [each.at for each in hours if each.received]
    pauses = [later - earlier for earlier, later in pairwise(heard)]
    usual = max(SHORTEST_PAUSE, timedelta(seconds=median(pause.total_seconds() for pause in pauses))) if pauses else (
        USUAL_PAUSE
    )  # fmt: skip
    silent = (now - last_at) / usual
    return round(100 * min(1.0, max(0.0, (DEAD - silent) / (DEAD - LATE))), 1)


def _consistency(steps: Steps) -> float | None:
    """Whether each step is no more frequent than the one that it follows, of those that are told: what exceeds it can't
    be. Clicks may exceed opens, as pictures needn't be loaded, and deliveries are to be no more than what was sent."""
    pairs = [
        (after, before)
        for after, before in ((steps.delivered, steps.sent), (_reached(steps), steps.delivered))
        if before and after
    ]
    if not pairs:
        return None
    return min(100 * min(1.0, before / after) for after, before in pairs)


def _reached(steps: Steps) -> int:
    return max(steps.opened, steps.clicked)


def score_of(parts: Parts) -> float | None:
    """The mean of those that are known, by their weights."""
    known = [(WEIGHTS[each.name], value) for each in fields(parts) if (value := getattr(parts, each.name)) is not None]
    return sum(weight * value for weight, value in known) / sum(weight for weight, _ in known) if known else None


def grade_of(parts: Parts, received: int) -> QualityGrade:
    """Poor as soon as what is readable or whole is, whatever the rest."""
    score = score_of(parts)
    if score is None or not received:
        return QualityGrade.SILENT
    worst = min(value for value in (parts.validity, parts.completeness, 100.0) if value is not None)
    if score < FAIR or worst < FAIR / 2:
        return QualityGrade.POOR
    return QualityGrade.GOOD if score >= GOOD else QualityGrade.FAIR


# Of what is put together from several; silent ones, of which nothing is in it, but where all are.
_WORST_FIRST = (QualityGrade.POOR, QualityGrade.FAIR, QualityGrade.GOOD, QualityGrade.SILENT)


def worst(grades: Iterable[QualityGrade]) -> QualityGrade | None:
    """The grade of what rests on all of these; None: on nothing."""
    return min(grades, key=_WORST_FIRST.index, default=None)
