"""Decides which states a campaign can be in."""

from enum import StrEnum


class CampaignState(StrEnum):
    IDEA = "idea"
    PLANNED = "planned"
    APPROVED = "approved"
    LIVE = "live"
    PAUSED = "paused"
    COMPLETED = "completed"
    ARCHIVED = "archived"
    CANCELLED = "cancelled"


class Channel(StrEnum):
    EMAIL = "email"
    SOCIAL = "social"
    SEARCH = "search"
    DISPLAY = "display"
    VIDEO = "video"
    EVENT = "event"
    PRINT = "print"
    WEB = "web"
