"""Decides what a question for a series is, and how it is answered: the same for callers, exports and alerts."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy.ext.asyncio import AsyncSession

from chassis.errors import Invalid
from services.metrics.metric.rules import Book, Counted, Definition, MetricUnit, Observed, evaluate, needs
from services.metrics.quality.actions import Grades, grades_of
from services.metrics.quality.rules import DAYS, QualityGrade, worst
from services.metrics.rollup.rules import NO_CAMPAIGN
from services.metrics.series.models import SeriesPoint, SeriesQuality
from services.metrics.series.numbers import Numbers, money, number
from services.metrics.series.rolled import is_rolled
from services.metrics.series.rules import (
    Group,
    Period,
    Scope,
    check_as_of,
    check_grain,
    check_span,
    completeness,
    periods,
)
from services.metrics.series.store import Basis, Needs, read_grouped, read_numbers

# Each of them reads events; the others share their statements.
MOST_RAW_TOGETHER = 10


@dataclass(frozen=True)
class Question:
    """A metric in a scope, and all that has to be counted for it."""

    metric: Definition
    book: Book
    scope: Scope
    needs: Needs

    @classmethod
    def of(cls, metric: Definition, book: Book, scope: Scope, zone: str, now: datetime) -> "Question":
        """Invalid where it makes no sense, or would be too much."""
        check_span(scope.since, scope.until)
        check_grain(scope.grain, metric.grain)
        if NO_CAMPAIGN in scope.campaign_ids:
            raise Invalid.field("campaign_id", f"{NO_CAMPAIGN} is no campaign's id", "unknown")
        periods(scope.since, scope.until, scope.grain)
        question = cls(metric, book, scope, frozenset(needs(metric, book)))
        check_as_of(scope, now, raw=question.raw)
        if any(isinstance(each, Observed) for each in question.needs):
            scope.check_observed()
        return question

    @property
    def raw(self) -> bool:
        """Whether events have to be counted for it."""
        counted = [each for each in self.needs if isinstance(each, Counted)]
        return bool(counted) and (self.scope.raw or not all(map(is_rolled, counted)))


async def answer_one(
    session: AsyncSession, question: Question, basis: Basis, after: tuple[Group] | None, most: int
) -> tuple[Numbers, list[Group], bool]:
    """The numbers of a question, the groups that are answered, and whether there are more."""
    if question.scope.group_by is None:
        read = await read_numbers(session, {question.scope: question.needs}, basis.zone)
        return read[question.scope], [None], False
    return await read_grouped(session, question.scope, question.needs, basis.zone, after, most)


async def answer_many(
    session: AsyncSession, questions: Sequence[Question], basis: Basis, most_raw: int | None = None
) -> dict[Scope, Numbers]:
    """The numbers of many questions by their scopes, in one go; Invalid where events have to be counted for more than
    `most_raw` of them."""
    needed: dict[Scope, set[object]] = defaultdict(set)
    for question in questions:
        needed[question.scope] |= question.needs
    if most_raw is not None and sum(question.raw for question in questions) > most_raw:
        words = f"more than {most_raw} at once that are counted from events, such as those with as_of"
        raise Invalid.field("queries", words, "too_many_raw")
    wanted: dict[Scope, Needs] = {scope: frozenset(found) for scope, found in needed.items()}  # type: ignore[arg-type]
    return await read_numbers(session, wanted, basis.zone)


def points_of(
    question: Question, numbers: Numbers, group: Group, spans: Sequence[Period], basis: Basis
) -> list[SeriesPoint]:
    """A group's points."""
    metric, watermark = question.metric, basis.watermark(question.scope, question.needs)
    points = []
    for span in spans:
        found = evaluate(
            metric,
            question.book,
            partial(numbers.count, group, span.start),
            partial(numbers.observe, group, span.start),
        )
        points.append(
            SeriesPoint(
                start=span.start,
                value=number(found.value, whole=metric.unit is MetricUnit.COUNT),
                money=money(found.value, metric.currency) if metric.currency else None,
                numerator=number(found.numerator) or 0,
                denominator=None if found.denominator is None else number(found.denominator) or 0,
                completeness=completeness(span, basis.zone, watermark),
            )
        )
    return points


async def grades_for(session: AsyncSession, questions: Sequence[Question], basis: Basis, now: datetime) -> Grades:
    """How good the sources are that numbers of late days rest on."""
    recent = any(_is_recent(each.scope, now) and basis.sources(each.scope, each.needs) for each in questions)
    return await grades_of(session, basis.heard, now) if recent else {}


def quality_of(question: Question, basis: Basis, grades: Grades, now: datetime) -> SeriesQuality | None:
    """How good what a series rests on is; None where that isn't known."""
    if not _is_recent(question.scope, now):
        return None
    found = {each: grades[each] for each in basis.sources(question.scope, question.needs) if each in grades}
    grade = worst(found.values())
    poor = sorted(each for each, its in found.items() if its is QualityGrade.POOR)
    return None if grade is None else SeriesQuality(grade=grade, poor_source_ids=poor)


def _is_recent(scope: Scope, now: datetime) -> bool:
    # Grades tell of what came lately; of what came before they know nothing.
    return scope.until > (now - timedelta(days=DAYS)).date()
