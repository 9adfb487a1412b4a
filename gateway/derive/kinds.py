"""Decides which kinds of edges there are between what services know. The edges themselves are in `gateway/edges.py`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Many:
    """The rows that name this one: a list operation whose filter `by` takes many parents, grouped. `key`: the parent's
    field that the rows name."""

    name: str
    operation: str
    by: str
    key: str = "id"


@dataclass(frozen=True)
class Refs:
    """The rows that this one names: its field `ids` holds their ids."""

    name: str
    operation: str
    ids: str


@dataclass(frozen=True)
class Ref:
    """The row that this one names: its field `id` holds that one's `match`; the operation takes many as `by`."""

    name: str
    operation: str
    id: str
    by: str = "id"
    match: str = "id"


@dataclass(frozen=True)
class Attached:
    """What hangs on a row, read for many: each item of the answer says in `key` whose it is. With `value`, the item
    holds it there; null comes with the reason in the item's `problem`. With `type`, value and key make a type of that
    name, so that edges can start there."""

    name: str
    operation: str
    key: str
    value: str | None = None
    type: str | None = None
    problem: str = "problem"


@dataclass(frozen=True)
class Asked:
    """An answer whose arguments differ per row: one POST of many `queries`, answered in their order. `bind` fills a
    query's fields from the row (`metric.key` looks into it), callers give the others."""

    name: str
    operation: str
    bind: Mapping[str, str] = field(default_factory=dict)
    queries: str = "queries"
    answers: str = "series"


@dataclass(frozen=True)
class NaturalKey:
    """Another way than its id to name a row: `campaign(slug:)`."""

    name: str
    operation: str
    by: str


@dataclass(frozen=True)
class Heard:
    """What a subscription tells, one by one as it comes about: the rows that a list operation answers. `arguments` are
    names, types and words of what narrows them."""

    name: str
    operation: str
    description: str
    arguments: tuple[tuple[str, Any, str], ...] = ()


Edge = Many | Refs | Ref | Attached | Asked
