"""Decides what budget tells others, and what it does when it hears of something."""

from collections.abc import Mapping

from chassis.outbox import Event, Handler

PUBLISHES: tuple[type[Event], ...] = ()
CONSUMES: Mapping[str, Handler] = {}
