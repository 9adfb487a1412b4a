"""Decides what budget tells others, and what it does when it hears of something."""

from collections.abc import Mapping

from chassis.inbox import Handler
from chassis.outbox import Event
from services.budget.ledger.models import LineLow

PUBLISHES: tuple[type[Event], ...] = (LineLow,)
CONSUMES: Mapping[str, Handler] = {}
