"""Decides where somebody's address may stand, and what stands there once they are erased."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class ErasureState(StrEnum):
    # The address itself is gone; what may quote it is looked through.
    SWEEPING = "sweeping"
    DONE = "done"


@dataclass(frozen=True)
class Place:
    """A column of text, or of an array or JSON of it, that holds what others wrote. Rows that `goes` are deleted where
    it names somebody; in the others its place is taken by a word that tells nothing."""

    table: str
    column: str
    kind: str = "text"
    goes: bool = False


# All of what others wrote that this service keeps, beside the record of who did what. A test looks through every column
# of the schema for what is missing.
PLACES = (
    Place("occurrence", "url"), Place("occurrence", "message_id"), Place("tag_set", "tags", "text[]"),
    Place("quarantine", "payload", "bytea", goes=True), Place("consent", "evidence"), Place("consent", "wording"),
    Place("observation", "note"), Place("observation", "reference"), Place("observation", "reason"),
    Place("outbox", "data", "jsonb"), Place("source", "honeypots", "text[]"),
    Place("source", "name"), Place("campaign", "name"), Place("alert", "name"), Place("finding", "note"),
    Place("metric_version", "name"), Place("metric_version", "words"),
    # Where the version before keeps events, as long as there is that table.
    Place("event", "url"), Place("event", "message_id"),
)  # fmt: skip


# What ends in a letter or a digit and yet begins no longer address: an escape of a URL, of JSON, or of bytes.
_BEFORE = r"(?:(?<![\w.+-])|(?<=%[0-9a-f][0-9a-f])|(?<=\\u[0-9a-f]{4})|(?<=\\[0-7]{3})|(?<=\\[nrt]))"


def pattern(address: str) -> str:
    """A regular expression, for Postgres and Python alike, that finds an address by itself in a text in lower case: not
    as the end or the beginning of a longer one."""
    return rf"{_BEFORE}({''.join(map(_spellings, address.lower()))})(?![\w-]|\.\w)"


def _spellings(letter: str) -> str:
    """How one character of an address may stand in a text: as it is, in a URL (itself encoded, perhaps), in JSON
    (within JSON, perhaps), as the bytes that it is."""
    if letter.isascii() and letter.isalnum():
        return letter
    found = []
    for each in dict.fromkeys((letter, letter.upper())):
        data, units = each.encode("utf-8", "replace"), each.encode("utf-16-be", "replace").hex()
        found += [
            re.escape(each), "".join(f"%(?:25)*{byte:02x}" for byte in data),
            "".join(rf"\\+u{units[n : n + 4]}" for n in range(0, len(units), 4)),
        ]  # fmt: skip
        if not each.isascii():
            found.append("".join(rf"\\{byte:03o}" for byte in data))
    return f"(?:{'|'.join(found)})"


def plain_part(address: str) -> str:
    """The longest part of an address that every spelling has, in lower case: quick to look for."""
    return max(re.findall("[a-z0-9]+", address.lower()), key=len, default="")


def word(address_hash: bytes) -> str:
    """What stands in its place: the same for one person, so that what was told apart still is."""
    return f"erased-{address_hash.hex()[:16]}"


Found = Mapping[str, int]
