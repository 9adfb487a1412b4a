"""Decides where somebody's address may stand, and what stands there once they are erased."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import quote


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
)  # fmt: skip


def spellings(address: str) -> list[str]:
    """How an address may stand in a text, in lower case: as it is, in a URL, in JSON."""
    plain = address.lower()
    return list(dict.fromkeys([
        plain, quote(plain, safe="").lower(), quote(plain, safe="@").lower(), plain.replace("@", "\\u0040"),
        plain.replace("+", "%2b"),
    ]))  # fmt: skip


def pattern(address: str) -> str:
    """A regular expression, for Postgres and Python alike, that finds an address by itself: not as the end or the
    beginning of a longer one."""
    either = "|".join(re.escape(each).replace("/", "\\/") for each in spellings(address))
    return rf"(?<![\w.+-])({either})(?![\w-]|\.\w)"


def word(address_hash: bytes) -> str:
    """What stands in its place: the same for one person, so that what was told apart still is."""
    return f"erased-{address_hash.hex()[:16]}"


Found = Mapping[str, int]
