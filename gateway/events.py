"""Decides what the gateway tells others: which workspaces there are, and how endpoints fare."""

from typing import ClassVar
from uuid import UUID

from chassis.outbox import Event
from gateway.endpoint.rules import PauseReason


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


class EndpointPaused(Event):
    """An endpoint is told nothing more until somebody enables it: it took nothing for five days, or answered 410."""

    type: ClassVar[str] = "gateway.endpoint.paused"
    endpoint_id: UUID
    reason: PauseReason


class EndpointTested(Event):
    """Somebody tries whether an endpoint hears; it alone is told."""

    type: ClassVar[str] = "gateway.endpoint.tested"
    endpoint_id: UUID


PUBLISHES: tuple[type[Event], ...] = (WorkspaceCreated, WorkspaceChanged, EndpointPaused, EndpointTested)
