"""Decides a goal's SMART verdicts from what is known of its metric, its objective and its campaigns' money."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum

from services.goals.evaluation.achievable import FEWEST_WINDOWS, Rank, growth, rank_of_growth, rank_of_level
from services.goals.goal.rules import KEEPING, LONGEST_DAYS, Days, GoalKind, windows_between

Evidence = dict[str, str | int | float | bool | None]


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
    evidence: Evidence


@dataclass(frozen=True)
class Facts:
    """What a goal is judged by.

    `metric_known` is None when metrics couldn't be asked. `pinned_version`: of an active goal, the definition that its
    target was set by. `past`: the metric over earlier windows of the same length, oldest first; None: not known yet.
    `allotted`, `available`: what its campaigns were given together and have left, in the workspace's currency.
    `today` is the day of its activation once it is active: what was in time then doesn't become late.
    """

    kind: GoalKind
    downward: bool
    metric_key: str
    campaigns: int
    idle_campaigns: int
    unowned_campaigns: int
    metric_known: bool | None
    version: int | None
    pinned_version: int | None
    adds_up: bool
    unit: str | None
    baseline_days: Days | None
    baseline: float | None
    needs_baseline: bool
    target: float | None
    scale: Decimal
    past: tuple[float | None, ...] | None
    objective: str | None
    relevance: str
    allotted: Decimal | None
    available: Decimal | None
    window: Days
    today: date


SHORTEST_DAYS = 2  # of the finest grain that every metric has
# One window in five did as much: ambitious. None did: not achievable by what is known.
AMBITIOUS_PERCENTILE = 80


def judge(facts: Facts) -> list[Letter]:
    """A letter each for specific, measurable, achievable, realistic, time-bound."""
    return [_specific(facts), _measurable(facts), _achievable(facts), _realistic(facts), _time_bound(facts)]


def failing(letters: Iterable[tuple[str, str]], overridden: Iterable[str] = ()) -> list[str]:
    """The letters, of (letter, verdict), that keep a goal from being activated. Warnings don't, and a letter that
    couldn't be judged at all does."""
    return [letter for letter, verdict in letters if verdict == Verdict.FAIL and letter not in overridden]


def _specific(facts: Facts) -> Letter:
    evidence: Evidence = {"metric": facts.metric_key, "campaigns": facts.campaigns}
    if facts.campaigns:
        return Letter(
            LetterName.S, Verdict.PASS, "It names one metric and the campaigns it is measured over.", evidence
        )
    reason = "It is measured over the whole workspace: name its campaigns if it is about some of them."
    return Letter(LetterName.S, Verdict.WARN, reason, evidence)


def _measurable(facts: Facts) -> Letter:
    evidence: Evidence = {
        "metric": facts.metric_key, "version": facts.version, "unit": facts.unit, "baseline": facts.baseline,
        "target": facts.target, "scale": float(facts.scale),
    }  # fmt: skip

    def letter(verdict: Verdict, reason: str) -> Letter:
        return Letter(LetterName.M, verdict, reason, evidence)

    if facts.metric_known is None:
        return letter(Verdict.FAIL, "It can't be measured now: metrics doesn't answer. Ask again in a moment.")
    if not facts.metric_known:
        return letter(Verdict.FAIL, f"There is no metric {facts.metric_key}.")
    if facts.pinned_version is not None and facts.version != facts.pinned_version:
        return letter(
            Verdict.FAIL,
            f"The metric's definition is version {facts.version} now, and the target was set by version"
            f" {facts.pinned_version}: it isn't measured until a revision sets it anew.",
        )
    if facts.needs_baseline and not facts.baseline:
        return letter(Verdict.FAIL, "The baseline holds no data, so there is nothing to change by a percentage.")
    if facts.adds_up and facts.target is not None and facts.target <= 0 and facts.kind not in KEEPING:
        return letter(Verdict.FAIL, "A metric that adds up begins at 0, so there is no way to a target of 0 or less.")
    if facts.needs_baseline and facts.baseline_days is not None and facts.baseline_days.end > facts.today:
        return letter(
            Verdict.WARN, "The baseline isn't over: what the rest of it brings doesn't count in what is pinned."
        )
    if facts.needs_baseline and facts.scale != 1:
        return letter(
            Verdict.PASS,
            f"The metric has data. Window and baseline differ in length: the target is scaled by {facts.scale:.4g}.",
        )
    if facts.baseline_days is not None and not facts.baseline:
        return letter(Verdict.WARN, "The metric exists, but the baseline holds no data.")
    return letter(Verdict.PASS, "The metric exists and has data." if facts.baseline else "The metric exists.")


def _achievable(facts: Facts) -> Letter:
    past, lag = facts.past or (), windows_between(facts.baseline_days, facts.window)
    if facts.kind in KEEPING:
        rank = rank_of_level(past, facts.adds_up, facts.target, facts.downward)
        asked = {"level": facts.target}
    else:
        rank = rank_of_growth(past, facts.adds_up, lag, _growth(facts, past), facts.downward)
        asked = {"change_percent": _percent(rank.asked)}
    quartiles = rank.quartiles or (None, None, None)
    names = ("lower_quartile", "median", "upper_quartile")
    shown = [each if facts.kind in KEEPING or each is None else _percent(each) for each in quartiles]
    evidence: Evidence = {
        **asked, "percentile": rank.percentile if rank.percentile is None else round(rank.percentile, 2),
        "windows": rank.windows, "windows_needed": FEWEST_WINDOWS, "windows_apart": lag, "compared": len(rank.seen),
        "reached_by": rank.reached, **dict(zip(names, shown, strict=True)),
    }  # fmt: skip
    verdict, reason = _rank_in_words(facts, rank)
    return Letter(LetterName.A, verdict, reason, evidence)


def _growth(facts: Facts, past: tuple[float | None, ...]) -> float | None:
    """The change that is asked for, on the baseline, or without one on the window before; None if that is nothing."""
    before = facts.baseline * float(facts.scale) if facts.baseline is not None else None
    if facts.baseline_days is None:
        before = past[-1] if past else None
    return growth(before, facts.target) if facts.target is not None and before and before > 0 else None


def _percent(share: float | None) -> float | None:
    return None if share is None else round(share * 100, 4)


def _rank_in_words(facts: Facts, rank: Rank) -> tuple[Verdict, str]:
    what = "level" if facts.kind in KEEPING else "change"
    if facts.past is None:
        return Verdict.WARN, "Not judged: the metric's history isn't known yet."
    if rank.windows < FEWEST_WINDOWS:
        return (
            Verdict.WARN,
            f"Not judged against the metric's history: it takes {FEWEST_WINDOWS} earlier windows of this length, and"
            f" {rank.windows} {'is' if rank.windows == 1 else 'are'} known.",
        )
    if rank.asked is None:
        return Verdict.WARN, "Not judged: there is nothing before it that the target could be compared with."
    if rank.percentile is None:
        return (
            Verdict.WARN,
            f"Not judged against the metric's history: of its {rank.windows} windows only {len(rank.seen)} can be"
            " compared with one that lies as far before.",
        )
    of = f"{rank.reached} of {len(rank.seen)} earlier windows show"
    if not rank.reached:
        return Verdict.FAIL, f"No earlier window shows such a {what}: {of} it."
    if rank.percentile > AMBITIOUS_PERCENTILE:
        return Verdict.WARN, f"It is ambitious: {of} such a {what}."
    return Verdict.PASS, f"History bears it out: {of} such a {what}."


def _realistic(facts: Facts) -> Letter:
    evidence: Evidence = {
        "objective": facts.objective, "relevance": facts.relevance, "campaigns": facts.campaigns,
        "campaigns_without_owner": facts.unowned_campaigns, "campaigns_stopped": facts.idle_campaigns,
        "allotted": _text(facts.allotted), "available": _text(facts.available), "team": None,
    }  # fmt: skip
    wrong = []
    if facts.objective is None:
        wrong.append("It serves no objective of the business.")
    if facts.unowned_campaigns:
        wrong.append(f"{facts.unowned_campaigns} of its campaigns have no owner.")
    if facts.campaigns and facts.idle_campaigns == facts.campaigns:
        wrong.append("All its campaigns are over or cancelled.")
    if facts.allotted and facts.available is not None and facts.available <= 0:
        wrong.append("Its campaigns have no budget left.")
    if wrong:
        return Letter(LetterName.R, Verdict.FAIL, " ".join(wrong), evidence)
    reason = "It serves an objective."
    if not facts.campaigns:
        reason += " No campaign carries it."
    elif facts.allotted is None:
        reason += " What its campaigns may still spend isn't known."
    elif not facts.allotted:
        reason += " No money is set aside for its campaigns yet."
    else:
        reason += " Its campaigns have an owner and budget left."
    if facts.idle_campaigns:
        reason += f" {facts.idle_campaigns} of them are over or cancelled."
    return Letter(
        LetterName.R, Verdict.WARN, f"{reason} Whether the team has the skills and the time isn't known here.", evidence
    )


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else str(amount)


def _time_bound(facts: Facts) -> Letter:
    days, gone = len(facts.window), (facts.today - facts.window.start).days
    evidence: Evidence = {
        "start": facts.window.start.isoformat(), "due": facts.window.end.isoformat(), "days": days,
        "days_gone": max(0, gone),
    }  # fmt: skip

    def letter(verdict: Verdict, reason: str) -> Letter:
        return Letter(LetterName.T, verdict, reason, evidence)

    if facts.window.end <= facts.today:
        return letter(Verdict.FAIL, "It is due in the past.")
    if days > LONGEST_DAYS:
        return letter(Verdict.FAIL, f"It is due {days} days after its start: beyond five years it is as good as open.")
    if days < SHORTEST_DAYS:
        return letter(Verdict.WARN, "One day is too short for a metric that is looked at by the day.")
    if 2 * gone > days:
        return letter(Verdict.WARN, "More than half of its window has gone already.")
    return letter(Verdict.PASS, f"It starts, and is due {days} days later.")
