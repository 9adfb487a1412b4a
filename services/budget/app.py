"""Decides which slices make up the budget service."""

from chassis.service import create_service
from services.budget.db import METADATA
from services.budget.events import CONSUMES
from services.budget.ledger import api as ledger
from services.budget.plan import api as plan
from services.budget.rate import api as rate

app = create_service(
    "budget",
    plan.router,
    ledger.router,
    rate.router,
    metadata=METADATA,
    description="Budget lines, and a ledger that says what became of their money.",
    consumes=CONSUMES,
)
