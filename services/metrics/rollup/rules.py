"""Decides what the smallest piece of the numbers is."""

from dataclasses import dataclass
from datetime import date
from uuid import UUID


@dataclass(frozen=True)
class Cell:
    """One source's events of one campaign (or of none) on one local day."""

    source_id: UUID
    campaign_id: UUID | None
    day: date
