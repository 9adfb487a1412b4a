"""Decides how a stranger tries: every id of one workspace in every place where an operation takes one, beside ids that
never were. Whatever differs, tells."""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chassis.fields import new_id
from tests.contract.operations import Operation, Path, ids_in

MOST_TOGETHER = 100


@dataclass(frozen=True)
class Answer:
    """What came back: a status, and a body without what was tried in it."""

    status: int
    text: str
    body: Any

    @classmethod
    def of(cls, status: int, text: str, tried: Sequence[str]) -> "Answer":
        for number, each in enumerate(tried):
            text = text.replace(each, f"<tried {number}>")
        try:
            return cls(status, text, json.loads(text))
        except ValueError:
            return cls(status, text, text)


def leaves(body: Any, at: str = "") -> dict[str, Any]:
    """Every value in a body by where it stands."""
    if isinstance(body, Mapping):
        return {place: leaf for key, each in body.items() for place, leaf in leaves(each, f"{at}.{key}").items()}
    if isinstance(body, list):
        return {f"{at}#": len(body)} | {
            place: leaf for number, each in enumerate(body) for place, leaf in leaves(each, f"{at}.{number}").items()
        }
    return {at: body}


def told(found: Answer, controls: Sequence[Answer]) -> dict[str, Any]:
    """In what an answer differs from those for ids that never were; what differs among these differs by itself."""
    if found.status != controls[0].status:
        return {"status": found.status, "never": controls[0].status, "body": found.text[:300]}
    ours, first, second = (leaves(each.body) for each in (found, *controls))
    steady = {place: value for place, value in first.items() if second.get(place) == value}
    shape = {place for place in set(ours) ^ set(first) if not place.endswith("#")}
    differs = {place for place, value in steady.items() if ours.get(place) != value} | shape
    return {place: ours.get(place, "(absent)") for place in differs}


@dataclass
class Stranger:
    """Who tries, what for, and whether the answers hold anything of the other."""

    foreign: Sequence[str]
    canary: str
    # All that mustn't be seen: not what the stranger's own rows hold, as an asset may name any campaign.
    hidden: frozenset[str]

    def sees(self, found: Answer, *, ids: bool = True) -> list[str]:
        """What of the other workspace an answer holds, beside what was tried."""
        seen = [self.canary] if self.canary in found.text else []
        return seen + (sorted(ids_in(found.text) & self.hidden) if ids else [])

    async def tries(self, send: Callable[[Any], Awaitable[Answer]], values: Sequence[Any]) -> list[Any]:
        """Sends each value and reports those whose answer isn't that of two as long that never were."""
        controls: dict[int, list[Answer]] = {}
        leaks = []
        for value in values:
            size = len(value) if isinstance(value, list) else 0
            if size not in controls:
                controls[size] = [await send(never(value)) for _ in range(2)]
            found = await send(value)
            difference = told(found, controls[size])
            if difference or self.sees(found, ids=False):
                leaks.append((value, difference or found.text[:300]))
        return leaks


def batches(operation: Operation, slot: Path, foreign: Sequence[str], own: Sequence[str]) -> list[Any]:
    """What is tried in a place: each id by itself; a filter takes those of its kind so, and all others together."""
    if slot[0] != "query":
        return list(dict.fromkeys([*own[:2], *foreign]))
    together = [list(foreign[start : start + MOST_TOGETHER]) for start in range(0, len(foreign), MOST_TOGETHER)]
    return [*([each] for each in own[:2]), *together]


def never(value: Any) -> Any:
    """As many new ids as a value holds."""
    return [str(new_id()) for _ in value] if isinstance(value, list) else str(new_id())
