"""Decides what the gateway tells others: which workspaces there are."""

from typing import ClassVar

from chassis.outbox import Event


class _Workspace(Event):
    """The zone that its days are in, and the currency that its totals are in."""

    name: str
    zone: str
    currency: str


class WorkspaceCreated(_Workspace):
    """A workspace exists."""

    type: ClassVar[str] = "gateway.workspace.created"


class WorkspaceChanged(_Workspace):
    """A workspace has another name, zone or currency."""

    type: ClassVar[str] = "gateway.workspace.changed"


PUBLISHES: tuple[type[Event], ...] = (WorkspaceCreated, WorkspaceChanged)
