"""Decides what assets tells others, and what it does when it hears of something."""

from collections.abc import Mapping

from chassis.inbox import Handler
from chassis.outbox import Event

PUBLISHES: tuple[type[Event], ...] = ()
CONSUMES: Mapping[str, Handler] = {}
