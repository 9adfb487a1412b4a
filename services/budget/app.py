"""Decides which slices make up the budget service."""

from chassis.service import create_service
from services.budget.db import METADATA
from services.budget.events import CONSUMES
from services.budget.ledger import api as ledger
from services.budget.plan import api as plan

app = create_service(
    "budget",
    plan.router,
    ledger.router,
    metadata=METADATA,
    description="Budget lines, and a ledger that says what became of their money.",
    consumes=CONSUMES,
)
