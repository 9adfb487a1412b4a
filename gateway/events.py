"""Decides what the gateway tells others: which workspaces there are."""

from collections.abc import Mapping
from typing import ClassVar

from chassis.inbox import Handler
from chassis.outbox import Event


class WorkspaceCreated(Event):
    """A workspace exists, with the zone its days are in and the currency its totals are in."""

    type: ClassVar[str] = "gateway.workspace.created"
    name: str
    zone: str
    currency: str


PUBLISHES: tuple[type[Event], ...] = (WorkspaceCreated,)
CONSUMES: Mapping[str, Handler] = {}
