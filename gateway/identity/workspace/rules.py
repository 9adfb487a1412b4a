"""Decides which states a workspace can be in."""

from enum import StrEnum


class WorkspaceState(StrEnum):
    ACTIVE = "active"
    SUSPENDED = "suspended"
