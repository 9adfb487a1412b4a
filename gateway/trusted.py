"""Decides which documents go by their hash: trusted ones that a file lists, and ones that callers have sent before."""

import json
from collections import OrderedDict
from hashlib import sha256
from pathlib import Path
from typing import Any

from gateway.failures import GraphFailure

# Of what callers have sent before.
REMEMBERED_CHARACTERS = 2_000_000
PREFIX = "sha256:"


def read_manifest(path: Path) -> dict[str, str]:
    """Documents by id, from a plain map of them or a manifest as Apollo's tools write it."""
    said: Any = json.loads(path.read_text())
    if isinstance(said, dict) and isinstance(said.get("operations"), list):
        said = {each["id"]: each["body"] for each in said["operations"]}
    if not isinstance(said, dict) or not all(isinstance(text, str) for text in said.values()):
        raise ValueError(f"{path} isn't a map of documents by their ids")
    return {name.removeprefix(PREFIX): text for name, text in said.items()}


class Trusted:
    """The documents that are known by their ids. With `only`, none but the listed ones are answered."""

    def __init__(self, listed: dict[str, str], *, only: bool) -> None:
        self._listed = listed
        self._texts = frozenset(listed.values())
        self._only = only
        self._sent: OrderedDict[str, str] = OrderedDict()
        self._characters = 0

    def text(self, query: str | None, id: str | None) -> str:
        """The document that is meant: by its text, by its id, or by both, when it is sent for the first time. Raises
        GraphFailure when it isn't known, isn't trusted, or isn't what its hash says."""
        known_as = None if id is None else id.removeprefix(PREFIX)
        if query is None:
            found = self._listed.get(known_as or "") or (None if self._only else self._sent.get(known_as or ""))
            if found is None:
                # The message is the one that clients of automatic persisted queries wait for.
                raise GraphFailure("PERSISTED_QUERY_NOT_FOUND", "PersistedQueryNotFound")
            return found
        if self._only and query not in self._texts:
            raise GraphFailure("UNTRUSTED_DOCUMENT", "only documents that are listed are answered here")
        if known_as in self._listed:
            is_meant = self._listed[known_as] == query
        else:
            is_meant = known_as in (None, sha256(query.encode()).hexdigest())
        if not is_meant:
            raise GraphFailure("PERSISTED_QUERY_MISMATCH", "the document isn't the one that its hash says")
        return query

    def remember(self, query: str, id: str) -> None:
        """A document that turned out to hold, so that its hash will do from now on."""
        known_as = id.removeprefix(PREFIX)
        if known_as in self._listed or known_as in self._sent:
            return
        self._sent[known_as] = query
        self._characters += len(query)
        while self._characters > REMEMBERED_CHARACTERS:
            _, forgotten = self._sent.popitem(last=False)
            self._characters -= len(forgotten)
