"""Decides which slices make up the budget service."""

from chassis.service import create_service
from services.budget.db import METADATA
from services.budget.events import CONSUMES

app = create_service(
    "budget",
    metadata=METADATA,
    description="To come.",
    consumes=CONSUMES,
)
