"""Decides which campaign an event belongs to."""

from collections.abc import Mapping, Sequence
from uuid import UUID


def first_match(tags: Sequence[str], campaigns: Mapping[str, UUID]) -> UUID | None:
    """The campaign whose slug is the first of the tags that is any campaign's slug; None if none is.

    A function of the tags and of all campaigns known now, never of who came first: `remap` says the same in SQL.
    """
    return next((campaigns[tag] for tag in tags if tag in campaigns), None)
