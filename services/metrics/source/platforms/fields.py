"""Decides what of a platform's loose JSON counts as a text, a list, a flag or a time, and names what doesn't."""

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from services.metrics.event.rules import UnreadableError, moment

# What can be read as a text; a bool is an int, and none.
WORDS = (str, int, float)
# What stands for yes: some write their flags as texts.
YES = (True, 1, "true", "1")
NUMBER = re.compile(r"-?[0-9]{1,20}(?:\.[0-9]{1,20})?(?:[eE][+-]?[0-9]{1,3})?", re.ASCII)


class Fields:
    """A JSON object whose members are asked for by name and by what they should be. Absent and null are the same."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = values

    def text(self, *names: str) -> str | None:
        """The first of these that is there, a number as its text; None for nothing."""
        for name in names:
            value = self.values.get(name)
            if isinstance(value, WORDS) and not isinstance(value, bool):
                if value != "":
                    return str(value)
            elif value is not None:
                raise UnreadableError(f"{name}: is no text")
        return None

    def need(self, name: str) -> str:
        found = self.text(name)
        if found is None:
            raise UnreadableError(f"{name}: is missing")
        return found

    def texts(self, name: str) -> list[str]:
        """The texts of an array, or one that stands alone."""
        value = self.values.get(name)
        if isinstance(value, list):
            return [each for each in value if isinstance(each, str)]
        found = self.text(name)
        return [] if found is None else [found]

    def label(self, *names: str) -> str | None:
        """The first of these that `text` would read; of what only describes an event, anything else is nothing."""
        for name in names:
            value = self.values.get(name)
            if isinstance(value, WORDS) and value != "" and not isinstance(value, bool):
                return str(value)
        return None

    def labels(self, name: str) -> list[str]:
        """All of an array that `text` would read, or one that stands alone."""
        return labels_of(self.values.get(name))

    def part(self, name: str) -> "Fields":
        """An object within; an empty one where there is none, or something else stands there."""
        value = self.values.get(name)
        return Fields(value if isinstance(value, dict) else {})

    def parts(self, name: str) -> list["Fields"]:
        """The objects of an array, or one that stands alone."""
        value = self.values.get(name)
        return [Fields(each) for each in (value if isinstance(value, list) else [value]) if isinstance(each, dict)]

    def data(self, name: str) -> dict[str, str]:
        """An object's texts by name."""
        return texts_of(self.part(name).values)

    def flag(self, name: str) -> bool:
        return self.values.get(name) in YES

    def epoch(self, name: str, unit: int = 1) -> datetime:
        """A Unix epoch, whole or fractional, as a number or its text; `unit` 1000: in milliseconds."""
        text = self.need(name)
        if not NUMBER.fullmatch(text):
            raise UnreadableError(f"{name}: {text[:40]!r} is no time")
        return moment(float(text) / unit)

    def time(self, name: str) -> datetime:
        """ISO 8601 as it is commonly written, or a Unix epoch in seconds."""
        text = self.need(name)
        with suppress(ValueError):
            # Digits alone are no year: fromisoformat would take some for one.
            return self.epoch(name) if NUMBER.fullmatch(text) else datetime.fromisoformat(text)
        raise UnreadableError(f"{name}: {text[:40]!r} is no time")


def labels_of(value: Any) -> list[str]:
    """The texts of what only describes an event, numbers as theirs: an event isn't lost for one of another type."""
    values = value if isinstance(value, list) else (value,)
    return [str(each) for each in values if isinstance(each, WORDS) and each != "" and not isinstance(each, bool)]


def texts_of(values: Mapping[str, Any]) -> dict[str, str]:
    """What of an object is a text or a number: nothing else could be a campaign's slug."""
    return {
        name: str(value) for name, value in values.items() if isinstance(value, WORDS) and not isinstance(value, bool)
    }
