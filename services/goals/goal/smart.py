"""Decides a goal's SMART verdicts from what is known of its metric, its objective and its campaigns' money."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum

from services.goals.goal.rules import Days


class Verdict(StrEnum):
    PASS = "pass"  # noqa: S105  # a verdict, not a password
    WARN = "warn"
    FAIL = "fail"


class LetterName(StrEnum):
    S = "S"
    M = "M"
    A = "A"
    R = "R"
    T = "T"


@dataclass(frozen=True)
class Letter:
    """A verdict with the reason for it in words and the facts it rests on."""

    letter: LetterName
    verdict: Verdict
    reason: str
    evidence: dict[str, str | int | float | bool | None]


@dataclass(frozen=True)
class Facts:
    """What a goal is judged by. `metric_known` is None when metrics couldn't be asked."""

    metric_key: str
    campaigns: int
    metric_known: bool | None
    unit: str | None
    baseline_days: Days | None
    baseline: float | None
    needs_baseline: bool
    target: float | None
    scale: Decimal
    objective: str | None
    relevance: str
    available: str | None
    window: Days
    today: date


SHORTEST_DAYS = 2  # of the finest grain that every metric has


def judge(facts: Facts) -> list[Letter]:
    """A letter each for specific, measurable, achievable, realistic, time-bound."""
    return [_specific(facts), _measurable(facts), _achievable(facts), _realistic(facts), _time_bound(facts)]


def passed(verdicts: Iterable[Verdict]) -> bool:
    """Warnings pass; a letter that couldn't be judged at all fails."""
    return Verdict.FAIL not in verdicts


def _specific(facts: Facts) -> Letter:
    evidence: dict[str, str | int | float | bool | None] = {"metric": facts.metric_key, "campaigns": facts.campaigns}
    if facts.campaigns:
        return Letter(
            LetterName.S, Verdict.PASS, "It names one metric and the campaigns it is measured over.", evidence
        )
    reason = "It is measured over the whole workspace: name its campaigns if it is about some of them."
    return Letter(LetterName.S, Verdict.WARN, reason, evidence)


def _measurable(facts: Facts) -> Letter:
    evidence: dict[str, str | int | float | bool | None] = {
        "metric": facts.metric_key, "unit": facts.unit, "baseline": facts.baseline, "target": facts.target,
        "scale": float(facts.scale),
    }  # fmt: skip

    def letter(verdict: Verdict, reason: str) -> Letter:
        return Letter(LetterName.M, verdict, reason, evidence)

    if facts.metric_known is None:
        return letter(Verdict.FAIL, "It can't be measured now: metrics doesn't answer. Ask again in a moment.")
    if not facts.metric_known:
        return letter(Verdict.FAIL, f"There is no metric {facts.metric_key}.")
    if facts.needs_baseline and not facts.baseline:
        return letter(Verdict.FAIL, "The baseline holds no data, so there is nothing to change by a percentage.")
    if facts.needs_baseline and facts.scale != 1:
        return letter(
            Verdict.PASS,
            f"The metric has data. Window and baseline differ in length: the target is scaled by {facts.scale:.4g}.",
        )
    if facts.baseline_days is not None and not facts.baseline:
        return letter(Verdict.WARN, "The metric exists, but the baseline holds no data.")
    return letter(Verdict.PASS, "The metric exists and has data." if facts.baseline else "The metric exists.")


def _achievable(facts: Facts) -> Letter:
    change = None
    if facts.baseline and facts.target is not None:
        change = round((facts.target / (facts.baseline * float(facts.scale)) - 1) * 100, 4)
    evidence: dict[str, str | int | float | bool | None] = {"change_percent": change}
    reason = "Not judged against the metric's history: fewer than eight earlier windows of this length are known."
    return Letter(LetterName.A, Verdict.WARN, reason, evidence)


def _realistic(facts: Facts) -> Letter:
    evidence: dict[str, str | int | float | bool | None] = {
        "objective": facts.objective, "relevance": facts.relevance, "available": facts.available,
    }  # fmt: skip
    if facts.objective is None:
        return Letter(LetterName.R, Verdict.FAIL, "It serves no objective of the business.", evidence)
    reason = "It serves an objective. Whether the team has the skills and the time isn't known here."
    if not facts.campaigns:
        reason += " No campaign carries it."
    elif facts.available is None:
        reason += " What its campaigns may still spend isn't known."
    return Letter(LetterName.R, Verdict.WARN, reason, evidence)


def _time_bound(facts: Facts) -> Letter:
    days = len(facts.window)
    evidence: dict[str, str | int | float | bool | None] = {
        "start": facts.window.start.isoformat(), "due": facts.window.end.isoformat(), "days": days,
    }  # fmt: skip
    if facts.window.end <= facts.today:
        return Letter(LetterName.T, Verdict.FAIL, "It is due in the past.", evidence)
    if days < SHORTEST_DAYS:
        reason = "One day is too short for a metric that is looked at by the day."
        return Letter(LetterName.T, Verdict.WARN, reason, evidence)
    return Letter(LetterName.T, Verdict.PASS, f"It starts, and is due {days} days later.", evidence)
