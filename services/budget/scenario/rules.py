"""Decides what adopting a scenario takes: which lines give and get how much, and what comes from outside of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from uuid import UUID

from chassis.errors import Conflict, Invalid

MOST_LINES = 500
LONGEST_NAME = 200


@dataclass(frozen=True)
class Planned:
    """What a line has of its own, and when it is for."""

    id: UUID
    minor: int
    currency: str
    period_start: date
    period_end: date


def name_before(name: str) -> str:
    """What is called that was the plan until a scenario of this name was adopted."""
    return f"Before {name}"[:LONGEST_NAME].rstrip()


class ScenarioState(StrEnum):
    """draft -> adopted or discarded."""

    DRAFT = "draft"
    ADOPTED = "adopted"
    DISCARDED = "discarded"


def assert_draft(state: ScenarioState) -> None:
    """Raises Conflict once it was adopted or discarded."""
    if state is not ScenarioState.DRAFT:
        raise Conflict(f"the scenario is {state} and stays as it is", code="not_a_draft")


def assert_amount(minor: int, currency: str, line_currency: str) -> None:
    """Raises Invalid, naming the field, unless a line could be given that much."""
    if currency != line_currency:
        raise Invalid.field("amount.currency", f"the line is in {line_currency}", "not_the_lines")
    if minor < 0:
        raise Invalid.field("amount.amount", "must not be below zero", "negative")


@dataclass(frozen=True)
class Shift:
    """What goes from line to line (`within`, which sums to zero), and what the first line of the tree is given from
    outside of it, below zero: what it gives back."""

    within: Mapping[UUID, int]
    outside: int


def shift(root: UUID, now: Mapping[UUID, int], wanted: Mapping[UUID, int]) -> Shift:
    """What makes of the money that lines have what a scenario wants them to have; lines that don't change are left
    out. What is missing or left over in all goes through the first line."""
    differences = {line: wanted[line] - now[line] for line in wanted}
    outside = sum(differences.values())
    within = {**differences, root: differences[root] - outside}
    return Shift({line: minor for line, minor in within.items() if minor}, outside)
