"""Decides which slices make up the budget service."""

from chassis.service import create_service
from services.budget.band import api as band
from services.budget.db import METADATA
from services.budget.delegation import api as delegation
from services.budget.events import CONSUMES
from services.budget.fiscal import api as fiscal
from services.budget.invoice import api as invoice
from services.budget.ledger import api as ledger
from services.budget.plan import api as plan
from services.budget.policy import api as policy
from services.budget.rate import api as rate
from services.budget.request import api as request
from services.budget.request.actions import EXPIRE
from services.budget.transfer import api as transfer

app = create_service(
    "budget",
    fiscal.router,
    plan.router,
    ledger.router,
    transfer.router,
    request.router,
    band.router,
    delegation.router,
    invoice.router,
    policy.router,
    rate.router,
    metadata=METADATA,
    description="Budget lines, who asked for their money and who approved, and a ledger that says what became of it.",
    consumes=CONSUMES,
    jobs=[EXPIRE],
)
